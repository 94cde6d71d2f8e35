"""Addresses: each client has one, however it is written."""

from functools import partial
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
    ("text", "address"),
    [
        ("192.0.2.1:17085", "192.0.2.1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[::ffff:192.0.2.1]:80", "192.0.2.1"),
        ("2001:db8::1:443", "2001:db8::1:443"),  # nobody can tell: as it is
        ("192.0.2.1", "192.0.2.1"),
    ],
)
def test_a_proxy_may_name_the_port_as_well(text: str, address: str) -> None:
    """It is no part of the address."""
    assert addresses.parse_hop(text) == ip_address(address)


@pytest.mark.parametrize("text", [None, "", "unknown", "_hidden", "192.0.2.1:", "[192.0.2.1", "a:80", "192.0.2.1:x"])
def test_a_hop_that_is_none_is_none(text: str | None) -> None:
    """Whatever stands there instead."""
    assert addresses.parse_hop(text) is None


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("192.0.2.0/24", "192.0.2.0/24"),
        ("192.0.2.1", "192.0.2.1/32"),
        ("2001:DB8::/32", "2001:db8::/32"),
        ("::ffff:127.0.0.0/104", "127.0.0.0/8"),
        ("::ffff:127.0.0.1", "127.0.0.1/32"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
    ],
)
def test_a_network_is_kept_as_it_is_looked_for(text: str, kept: str) -> None:
    """IPv4 in IPv6's clothes would match no address, since each comes without them."""
    assert str(addresses.network(text)) == kept


@pytest.mark.parametrize(
    ("kept", "address", "lies"),
    [
        ("192.0.2.0/24", "192.0.2.9", True),
        ("192.0.2.0/24", "::ffff:192.0.2.9", True),
        ("::ffff:192.0.2.0/120", "192.0.2.9", True),
        ("::ffff:192.0.2.0/120", "192.0.3.9", False),
        ("fe80::%eth0/64", "fe80::1%eth1", True),
        ("fe80::%eth0/64", "fe81::1", False),
        ("2001:db8::/32", "192.0.2.9", False),
        ("0.0.0.0/0", "unknown", False),
        ("0.0.0.0/0", None, False),
    ],
)
def test_an_address_lies_in_what_was_kept(kept: str, address: str | None, lies: bool) -> None:
    """Networks of before mean what they mean today: IPv4 in IPv6's clothes is IPv4, and a zone tells nothing."""
    assert addresses.lies_in(["198.51.100.7/32", kept], address) is lies


@pytest.mark.parametrize("text", ["", "everywhere", "192.0.2.1/24", "192.0.2.0/33", "fe80::1%lo", "fe80::%lo/64"])
def test_what_is_no_network_is_refused(text: str) -> None:
    """A zone as well, which only one machine knows."""
    with pytest.raises(ValueError, match="write a network"):
        addresses.network(text)


@pytest.mark.parametrize(
    "text", [None, "", "%eth0", "localhost", "192.0.2.256", "192.0.2.01", " 192.0.2.1", "192.0.2.1:80"]
)
def test_what_is_no_address_is_none(text: str | None) -> None:
    """It lies in no network."""
    assert addresses.parse(text) is None


require = partial(addresses.require_https, write="write another", risk="can read it")


@pytest.mark.parametrize(
    "value",
    [
        "https://a.example",
        "https://a_b:8443/x/y~z!",
        "http://localhost:1/",
        "http://127.0.0.2",
        "https://[2001:db8::1]:4/",
    ],
)
def test_what_is_bare_and_https_or_on_loopback_is_taken(value: str) -> None:
    """With any port and path; a query only where one is taken."""
    parts = require(value)
    assert parts.geturl() == value
    asked = f"{value}?a=/b?c" if parts.path else f"{value}/?"
    assert require(asked, query=True).hostname == parts.hostname
    with pytest.raises(ValueError, match="write another"):
        require(asked)


@pytest.mark.parametrize(
    "value",
    [
        "", "a.example", "//a.example", "https://", "https://:1", "ftp://localhost", "HTTPS://a.example", "https://u@a",
        "https://@a", "https://u:p@a", "https://a:0", "https://a:99999", "https://a:x", "https://[::1", "https://a b",
        "https://a/ b", "https://a\n", " https://a", "https://a#x", "https://a/#", "https://a/\x7f", "https://a/é",
    ],
)  # fmt: skip
def test_what_is_not_says_what_to_write(value: str) -> None:
    """Never in the words of Python's own parser, which name neither the key nor the way out."""
    for query in (False, True):
        with pytest.raises(ValueError, match=r"^write another$"):
            require(value, query=query)


@pytest.mark.parametrize("value", ["http://a.example", "http://localhost.example", "http://10.0.0.1/x"])
def test_plain_http_is_for_this_machine_alone(value: str) -> None:
    """It says what anybody between could do."""
    with pytest.raises(ValueError, match="over plain http anyone on the network can read it"):
        require(value)
