"""Canaries: a small object under a prefix and a signed URL for it, tried until the store refuses it."""

import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from server.storage import probes
from server.storage.objects import ObjectStore
from server.storage.probes import PROBE_PREFIX, ProbeFailed
from server.storage.signing import StoredObject, UrlSigner

TRIED_EVERY_SECONDS = 0.02
SURE_AFTER = 3  # refusals in a row: stores that copy a policy about answer for a while now so, now so
_REFUSED = 403
# No file of a checkpoint has such a key: those lie below model, stage and the checkpoint's own id.
_KEY = re.compile(r"(checkpoints/([^/]+/){0,2})?canary-[0-9a-f]{16}")


@dataclass(frozen=True, slots=True, repr=False)
class Canary:
    """An object's key, and a URL that works until it is cut, and perhaps keys that do."""

    key: str
    url: str
    reads: Callable[[str], bool] | None = None  # whether a session's keys still read it

    def milliseconds_until_refused(self, began: float, gives_up: float) -> int | None:
        """Return how long after `began` the store refused it for good; None where it did not until `gives_up`.

        Both are `time.monotonic()`. An answer that does not come is none.
        """
        refused_at: list[float] = []
        while len(refused_at) < SURE_AFTER:
            if time.monotonic() > gives_up:
                return None
            if self._is_refused():
                refused_at.append(time.monotonic())
            else:
                refused_at.clear()
                time.sleep(TRIED_EVERY_SECONDS)
        return max(1, round((refused_at[0] - began) * 1000))

    def works(self) -> bool:
        return _status(self.url) == 200 and (self.reads is None or self.reads(self.key))

    def _is_refused(self) -> bool:
        return _status(self.url) == _REFUSED and (self.reads is None or not self.reads(self.key))


@contextmanager
def planted(
    store: ObjectStore, signer: UrlSigner, prefix: str, lifetime_seconds: int,
    reads: Callable[[str], bool] | None = None,
) -> Iterator[Canary]:  # fmt: skip
    """Put one under a prefix, for as long as the block lasts. reads: see Canary."""
    key = f"{prefix}canary-{secrets.token_hex(8)}"
    store.put_bytes(key, b"Tried until the store refuses its URL.\n")
    try:
        (url,) = signer.sign([StoredObject(key)], download_id="canary", lifetime_seconds=lifetime_seconds)
        yield Canary(key, url, reads)
    finally:
        store.delete(key)


def is_probe(key: str) -> bool:
    """Whether an object is one of ours to try things on, and holds no weights."""
    return key.startswith(PROBE_PREFIX) or _KEY.fullmatch(key) is not None


def _status(url: str) -> int:
    try:
        return probes.status_of(url)
    except ProbeFailed:
        return 0
