"""Addresses: each client has one, however it is written."""

from ipaddress import ip_address

import pytest

from server import addresses


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::FFFF:c000:0201", "192.0.2.1"),
        ("2001:DB8::0:1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:192.0.2.1%eth0", "192.0.2.1"),
    ],
)
def test_an_address_has_one_form(text: str, address: str) -> None:
    """A network that names it finds it, whether or not the system hands IPv4 over as IPv6."""
    assert addresses.parse(text) == ip_address(address)


@pytest.mark.parametrize(
    "text", [None, "", "%eth0", "localhost", "192.0.2.256", "192.0.2.01", " 192.0.2.1", "192.0.2.1:80"]
)
def test_what_is_no_address_is_none(text: str | None) -> None:
    """It lies in no network."""
    assert addresses.parse(text) is None
