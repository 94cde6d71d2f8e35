"""Addresses of clients and their networks, in the one form in which settings, tokens and the log know them."""

import ipaddress
import re
from collections.abc import Iterable
from urllib.parse import SplitResult, urlsplit

import idna

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")  # RFC 4291, section 2.5.5.2: IPv4 in IPv6's clothes
# RFC 1918, RFC 4193 (ULA), RFC 6598 (shared, as overlay networks use it). Neither "any address" nor a public one is in.
_INNER = tuple(
    ipaddress.ip_network(text)
    for text in ("127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "100.64.0.0/10")
)
_ZONE = re.compile(r"%[^/]*")
_ANY_PATH, _ANY_QUERY = r"(/[!-\"$->@-~]*)?", r"(\?[!-\"$-~]*)?"  # printable ASCII
_PORT = re.compile(r"(?:\[(?P<ipv6>[^\[\]]+)\](?::\d{1,5})?|(?P<ipv4>[0-9.]+):\d{1,5})")


def parse(text: str | None) -> Address | None:
    """Return the address without its zone, and IPv4 as such where it comes in IPv6's clothes; None where it is none."""
    try:
        address = ipaddress.ip_address((text or "").partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def parse_hop(text: str | None) -> Address | None:
    """The same of what a proxy names, which may hold the port that it was asked from."""
    match = _PORT.fullmatch(text or "")
    return parse(text if match is None else match["ipv6"] or match["ipv4"])


def network(text: str) -> Network:
    """Return a network in the form in which its addresses are looked for. Raises ValueError, which says what to write.

    IPv4 in IPv6's clothes becomes IPv4, since no address ever comes in them: else it would match nothing.
    """
    if "%" in text:
        raise ValueError("write a network without a zone (%…): a zone is only known on one machine")
    try:
        found = ipaddress.ip_network(text)
    except ValueError:
        raise ValueError("write a network like 192.0.2.0/24, with no bits set after the prefix") from None
    if isinstance(found, ipaddress.IPv6Network) and found.subnet_of(_MAPPED):
        return ipaddress.IPv4Network((int(found.network_address) & 0xFFFFFFFF, found.prefixlen - 96))
    return found


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine and no other."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_inner(text: str) -> bool:
    """Whether this is one address of this machine alone or of a private network: no name, and not all addresses."""
    here = parse(text)
    return here is not None and "%" not in text and any(here in network for network in _INNER)


def lies_in(networks: Iterable[str], address: str | None) -> bool:
    """Whether an address lies in a network that was kept; an address that cannot be read lies in none.

    What was kept before `network` had its rules may be IPv4 in IPv6's clothes or name a zone: it means the same.
    """
    here = parse(address)
    return here is not None and any(here in network(_ZONE.sub("", kept)) for kept in networks)


def require_ascii_host(host: str) -> None:
    """Raise ValueError, which offers what browsers and certificates call it, for a host in another script."""
    if host.isascii():
        return
    try:
        plain = idna.encode(host, uts46=True).decode()
    except idna.IDNAError:
        raise ValueError("this host contains letters that no host name can have") from None
    raise ValueError(f"write the host as browsers and certificates do: {plain}")


def split(value: str) -> SplitResult | None:
    """A URL's parts, of which the port can be read; None where there are none: `urlsplit` says so in nobody's words."""
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        return None
    return parts


def require_https(value: str, *, write: str, risk: str, path: str = _ANY_PATH, query: bool = False) -> SplitResult:
    """The parts of a URL that is https, or http on loopback, and bare: a host, perhaps a port and a path, and no more.

    Raises ValueError: with `write` for what is none, and with what anybody on the network could do over plain http.
    path: what it must match. query: it may have one.
    """
    parts = split(value)
    host = "" if parts is None else parts.hostname or ""
    require_ascii_host(host)
    form = rf"https?://[A-Za-z0-9._:\[\]-]+{path}{_ANY_QUERY if query else ''}"
    if parts is None or not host or parts.port == 0 or not re.fullmatch(form, value):
        raise ValueError(write)
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError(f"use https://: over plain http anyone on the network {risk}")
    return parts


def origin(value: str, *, like: str, readable: str) -> str:
    """The value without a closing slash. Raises ValueError unless it is a scheme, a host and perhaps a port."""
    require_https(
        value, write=f"write only scheme, host and port, such as {like}", risk=f"can read {readable}", path="/*"
    )
    return value.rstrip("/")
