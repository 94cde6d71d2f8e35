"""Anchors: heads that are kept where the database's owner cannot change them, in a bucket that only grows.

Whoever rewrites the database, or restores an older copy of it, cannot make the log agree with what was anchored.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from server.log.heads import Head
from server.log.notes import Malformed
from server.storage.anchor_bucket import AnchorBucket

FIRST_STEP, NEXT_STEPS = 1024, 32  # how far back the newest anchor is looked for, and how much farther each time
READ_AT_ONCE, READ_BEFORE_TELLING = 8, 512


class BehindAnchor(Exception):
    """The log is older than one that was anchored: a backup was restored. The text says how far."""


class Forked(Exception):
    """The log is not the one that was anchored at some size: it has two histories. The text says which size."""


def require_agreement(bucket: AnchorBucket, head: Head, root_at: Callable[[int], bytes | None]) -> int | None:
    """See that the newest anchor is not ahead of the head, and agrees with it; returns its size, or None without one.

    root_at: the root that this log had at a size at which it signed a head; None for any other size. Raises
    BehindAnchor, Forked.
    """
    prefix = _prefix(head.origin)
    if ahead := bucket.keys_after(prefix, _key(head.origin, head.size)):
        raise BehindAnchor(
            f"the log has {head.size} entries, but {_size(ahead[-1])} were anchored: an older backup was restored"
        )
    newest = _newest(bucket, head)
    if newest is None:
        return None
    size = _size(newest)
    if _text(bucket.get_bytes(newest)) != _expected(head, size, root_at):
        raise Forked(f"the log is not the one whose head was anchored at {size} entries")
    return size


def differing(
    bucket: AnchorBucket,
    origin: str,
    root_at: Callable[[int], bytes | None],
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Iterator[int]:
    """Yield the size of every anchor of a log that is not the head it signed at that size, in their order.

    Those ahead of the log are among them. progress: anchors read, anchors in all.
    """
    prefix = _prefix(origin)
    found = [key for key in bucket.keys_after(prefix, prefix) if _IS_KEY.fullmatch(key)]
    with ThreadPoolExecutor(READ_AT_ONCE) as pool:
        for start in range(0, len(found), READ_BEFORE_TELLING):
            part = found[start : start + READ_BEFORE_TELLING]
            for key, note in zip(part, pool.map(bucket.get_bytes, part), strict=True):
                if not _is_of(note, origin, _size(key), root_at(_size(key))):
                    yield _size(key)
            progress(start + len(part), len(found))


def sizes(bucket: AnchorBucket, origin: str) -> list[int]:
    """The size of every anchor of a log, rising."""
    prefix = _prefix(origin)
    return [_size(key) for key in bucket.keys_after(prefix, prefix) if _IS_KEY.fullmatch(key)]


def require_readable(bucket: AnchorBucket) -> None:
    """Raise ObjectStoreError unless anchors can be listed with the bucket's credentials."""
    bucket.keys_after(_ANCHORS, f"{_ANCHORS}~")  # after every origin: it lists nothing, however many there are


def exist(bucket: AnchorBucket, origin: str) -> bool:
    """Whether a log of this origin was ever anchored."""
    return bool(bucket.keys_after(_prefix(origin), _prefix(origin)))


def write(bucket: AnchorBucket, head: Head, note: bytes) -> None:
    """Keep this head; one that is kept already must be the same. Raises Forked."""
    key = _key(head.origin, head.size)
    if not bucket.create(key, note) and _text(bucket.get_bytes(key)) != head.text:
        raise Forked(f"a different head was anchored at {head.size} entries")


def _newest(bucket: AnchorBucket, head: Head) -> str | None:
    """The last anchor up to the head: S3 lists only forwards, so this looks back in ever wider steps."""
    step = FIRST_STEP
    while True:
        start = max(-1, head.size - step)
        after = _prefix(head.origin) if start < 0 else _key(head.origin, start)
        if keys := bucket.keys_after(_prefix(head.origin), after):
            return keys[-1]
        if start < 0:
            return None
        step *= NEXT_STEPS


def _expected(head: Head, size: int, root_at: Callable[[int], bytes | None]) -> str | None:
    root = head.root if size == head.size else root_at(size)
    return None if root is None else Head(head.origin, size, root).text


def _is_of(note: bytes, origin: str, size: int, root: bytes | None) -> bool:
    try:
        return root is not None and _text(note) == Head(origin, size, root).text
    except Malformed:  # what is stored of the log is no root
        return False


def _text(note: bytes) -> str:
    """The three lines that were signed; who signed them does not matter: nothing else can be written there."""
    try:
        return Head.parse(note.decode().partition("\n\n")[0] + "\n").text
    except (UnicodeDecodeError, Malformed):
        return ""


_ANCHORS = "anchors/"
_IS_KEY = re.compile(r"anchors/[0-9a-f]{64}/[0-9]{20}")


def _prefix(origin: str) -> str:
    return f"{_ANCHORS}{hashlib.sha256(origin.encode()).hexdigest()}/"


def _key(origin: str, size: int) -> str:
    return f"{_prefix(origin)}{size:020d}"


def _size(key: str) -> int:
    return int(key.rpartition("/")[2])
