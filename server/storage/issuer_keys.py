"""Issuers' public keys: found as OpenID Connect Discovery says, or in a file, and kept for a while.

Only the operator names issuers, so nobody who sends a token, and no partner, chooses where this server connects to.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from server.addresses import require_https
from server.storage import bounded_fetch, strict_json
from server.storage.bounded_fetch import FetchFailed
from server.storage.strict_json import NotStrict
from server.workload_issuers import WorkloadIssuer

KEPT_SECONDS = 3600.0
ASKED_AGAIN_AFTER_SECONDS = 60.0  # for a key ID that is unknown
TRIED_AGAIN_AFTER_SECONDS = 10.0  # when it failed: nobody waits for an issuer that is down more often than that
SECONDS_AT_MOST = 5.0  # for each of the two documents
WAITED_SECONDS = 3.0  # for another thread that fetches: an issuer that is slow holds up one of them
BYTES_AT_MOST = 256 * 1024
KEYS_AT_MOST = 100
_WELL_KNOWN = "/.well-known/openid-configuration"
_KINDS = frozenset({"RSA", "EC", "OKP"})  # public ones: a shared secret that is published is none

Jwk = Mapping[str, Any]


class IssuerKeysUnavailable(Exception):
    """The keys of an issuer are not to be had now. The text is for the operator, and quotes nothing that was sent."""


@dataclass
class _Kept:
    """What is known of one issuer. keys and when they were fetched are replaced together."""

    issuer: WorkloadIssuer
    lock: threading.Lock = field(default_factory=threading.Lock)
    keys: tuple[float, Mapping[str, Jwk]] | None = None
    tried_at: float | None = None
    failure: str | None = None  # of the last try


class IssuerKeys:
    """The keys of some issuers. Safe for threads: one of them fetches, the others wait a little."""

    def __init__(self, issuers: Iterable[WorkloadIssuer], clock: Callable[[], float] = time.monotonic) -> None:
        self._kept = {issuer.url: _Kept(issuer) for issuer in issuers}
        self._clock = clock

    def __contains__(self, issuer: str) -> bool:
        return issuer in self._kept

    def find(self, issuer: str, key_id: str) -> Jwk | None:
        """Return an issuer's key, None if it publishes none of this ID. Raises IssuerKeysUnavailable, KeyError."""
        kept = self._kept[issuer]
        known = self._fresh(kept)
        if known is not None and key_id in known:
            return known[key_id]
        if not kept.lock.acquire(timeout=WAITED_SECONDS):
            raise IssuerKeysUnavailable(f"{issuer}: timed out")
        try:
            known = self._fresh(kept)
            if (known is None or key_id not in known) and self._is_due(kept):
                self._fetch(kept)
            if kept.failure is not None:  # also with keys at hand: the one that is asked for may be new
                raise IssuerKeysUnavailable(f"{issuer}: {kept.failure}")
            return (self._fresh(kept) or {}).get(key_id)
        finally:
            kept.lock.release()

    def _fresh(self, kept: _Kept) -> Mapping[str, Jwk] | None:
        known = kept.keys
        return known[1] if known is not None and self._clock() - known[0] < KEPT_SECONDS else None

    def _is_due(self, kept: _Kept) -> bool:
        if kept.tried_at is None or (self._fresh(kept) is None and kept.failure is None):
            return True
        wait_seconds = ASKED_AGAIN_AFTER_SECONDS if kept.failure is None else TRIED_AGAIN_AFTER_SECONDS
        return self._clock() - kept.tried_at >= wait_seconds

    def _fetch(self, kept: _Kept) -> None:
        kept.tried_at = self._clock()
        try:
            kept.keys, kept.failure = (kept.tried_at, read(kept.issuer)), None
        except (FetchFailed, NotStrict) as error:
            kept.failure = str(error)


def count(issuer: WorkloadIssuer) -> int:
    """How many keys an issuer publishes now, whatever is kept of them. Raises IssuerKeysUnavailable."""
    try:
        return len(read(issuer))
    except (FetchFailed, NotStrict) as error:
        raise IssuerKeysUnavailable(f"{issuer.url}: {error}") from None


def read(issuer: WorkloadIssuer) -> dict[str, Jwk]:
    """Return the keys that an issuer publishes, by their IDs. Raises FetchFailed or NotStrict."""
    if issuer.jwks_file is not None:
        return _keys_in(_read_file(issuer.jwks_file))
    about = strict_json.load_object(_get(issuer, issuer.url.rstrip("/") + _WELL_KNOWN))
    if about.get("issuer") != issuer.url:
        raise FetchFailed("its configuration names another issuer")
    where = about.get("jwks_uri")
    if not isinstance(where, str) or not _is_safe(where, issuer.url):
        raise FetchFailed("its configuration names no https address for its keys")
    return _keys_in(_get(issuer, where))


def _get(issuer: WorkloadIssuer, url: str) -> bytes:
    return bounded_fetch.get(url, issuer.ca_file, bytes_at_most=BYTES_AT_MOST, seconds=SECONDS_AT_MOST)


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(BYTES_AT_MOST + 1)
    except OSError as error:
        raise FetchFailed(f"its file of keys cannot be read: {type(error).__name__}") from None
    if len(data) > BYTES_AT_MOST:
        raise FetchFailed(f"its file of keys is larger than {BYTES_AT_MOST} bytes")
    return data


def _keys_in(data: bytes) -> dict[str, Jwk]:
    """Those of a JWK Set (RFC 7517) that may sign and have an ID; of two with one ID, the first."""
    listed = strict_json.load_object(data).get("keys")
    if not isinstance(listed, list) or len(listed) > KEYS_AT_MOST:
        raise FetchFailed(f"its keys are not a list of at most {KEYS_AT_MOST}")
    found: dict[str, Jwk] = {}
    for key in listed:
        if not isinstance(key, dict) or key.get("kty") not in _KINDS or key.get("use", "sig") != "sig":
            continue
        if isinstance(key_id := key.get("kid"), str):
            found.setdefault(key_id, key)
    return found


def _is_safe(url: str, issuer: str) -> bool:
    """Whether keys may be fetched there: https, and plain http only where the issuer is on loopback as well."""
    try:
        parts = require_https(url, write="no https address", risk="can pass off their keys", query=True)
    except ValueError:
        return False
    return parts.scheme == "https" or urlsplit(issuer).scheme == "http"
