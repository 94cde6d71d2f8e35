"""Addresses of clients, in the one form in which networks and the log know them."""

import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def parse(text: str | None) -> Address | None:
    """Return the address without its zone, and IPv4 as such where it comes in IPv6's clothes; None where it is none."""
    try:
        address = ipaddress.ip_address((text or "").partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
