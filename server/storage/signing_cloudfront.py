"""Signed GET URLs for CloudFront, which fetches from the bucket under its own name.

With a canned policy CloudFront makes the signed text from the URL itself and `Expires`; a custom policy, which alone
can name an address, is sent along. Source: Amazon CloudFront Developer Guide, "Use signed URLs". Always with SHA-256,
which `Hash-Algorithm` tells; without it CloudFront expects SHA-1.
"""

import base64
import json
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import quote

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding

from server import addresses
from server.storage.cloudfront_keys import CloudFrontKey, PrivateKey
from server.storage.outside import CLOCKS_DIFFER_AT_MOST
from server.storage.signing import NOBODY, Recipient, StoredObject, object_query, require_sensible

HASH = "&Hash-Algorithm=SHA256"
_SAFE = str.maketrans("+=/", "-_~")


class Condition(NamedTuple):
    """When CloudFront lets a URL through: in seconds since 1970. address: from there alone, with a start in time."""

    ends: int
    starts: int | None = None
    address: str | None = None


class CloudFrontSigner:
    """Signs GET URLs for one distribution. Safe to share between threads; its text never shows the key."""

    def __init__(
        self, *, url: str, key: CloudFrontKey, clock: Callable[[], datetime], binds_address: bool = False
    ) -> None:
        """url: the distribution's, scheme and host. binds_address: URLs work only for the address that asked."""
        self.origin, self.key = url, key
        self._clock, self._binds_address = clock, binds_address

    def __repr__(self) -> str:
        return f"CloudFrontSigner({self.origin}, {self.key.key_pair_id})"

    def sign(
        self,
        objects: Iterable[StoredObject],
        *,
        download_id: str,
        lifetime_seconds: int,
        moment: datetime | None = None,
        recipient: Recipient = NOBODY,
    ) -> list[str]:
        """Return one URL for each object, as every UrlSigner does. ValueError, too: no IPv4 address to bind to."""
        now = self._clock()
        require_sensible(download_id, lifetime_seconds, moment, now)
        condition = self._condition(now if moment is None else moment, lifetime_seconds, recipient)
        end = f"x-download-id={quote(download_id, safe='')}"
        return [self._signed(f"{self._plain(item)}{end}", condition) for item in objects]

    def _plain(self, item: StoredObject) -> str:
        """The URL up to its last parameter of ours. Nothing in it is a wildcard: `quote` leaves no `*`, and the one `?`
        of a policy's resource stands for itself or for a character that no key has in its place.
        """
        if not item.key:
            raise ValueError("an object key is empty: a URL for it would name the distribution's root")
        return f"{self.origin}/{quote(item.key, safe='/')}?{object_query(item.filename, item.version_id)}"

    def _condition(self, begins: datetime, lifetime_seconds: int, recipient: Recipient) -> Condition:
        ends = int(begins.timestamp()) + lifetime_seconds
        if not self._binds_address:
            return Condition(ends)
        if not can_bind(recipient.address):
            raise ValueError("CloudFront binds URLs to IPv4 addresses only")
        return Condition(ends, int((begins - CLOCKS_DIFFER_AT_MOST).timestamp()), f"{recipient.address}/32")

    def _signed(self, url: str, condition: Condition) -> str:
        text = policy(url, condition)
        told = f"Expires={condition.ends}" if condition.address is None else f"Policy={safe_base64(text)}"
        signature = safe_base64(signature_of(self.key.private, text))
        return f"{url}&{told}&Signature={signature}&Key-Pair-Id={self.key.key_pair_id}{HASH}"


def can_bind(address: str | None) -> bool:
    """Whether CloudFront can let a URL work for this address alone: its policies know IPv4 only."""
    found = addresses.parse(address)
    return found is not None and found.version == 4 and str(found) == address


def policy(url: str, condition: Condition) -> bytes:
    """The text that is signed: in this order, without blanks, as CloudFront makes it itself from a canned policy."""
    when: dict[str, Any] = {"DateLessThan": {"AWS:EpochTime": condition.ends}}
    if condition.address is not None:
        when["IpAddress"] = {"AWS:SourceIp": condition.address}
    if condition.starts is not None:
        when["DateGreaterThan"] = {"AWS:EpochTime": condition.starts}
    return json.dumps({"Statement": [{"Resource": url, "Condition": when}]}, separators=(",", ":")).encode()


def signature_of(private: PrivateKey, text: bytes) -> bytes:
    """PKCS #1 v1.5 for RSA, DER for ECDSA, both over SHA-256."""
    if isinstance(private, ec.EllipticCurvePrivateKey):
        return private.sign(text, ec.ECDSA(hashes.SHA256()))
    return private.sign(text, padding.PKCS1v15(), hashes.SHA256())


def safe_base64(content: bytes) -> str:
    """Base64 with the characters that CloudFront has for `+`, `=` and `/`."""
    return base64.b64encode(content).decode().translate(_SAFE)
