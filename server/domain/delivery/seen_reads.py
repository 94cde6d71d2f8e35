"""Seen reads: which lines of access logs were counted already, so that a line counts once however often it comes.

A line is known by the store's own name for its request and the minute in which it began. Of each minute one row keeps
64 bits a request, sorted: eight bytes a line, 240 MB for thirty days of a million. Older minutes are forgotten, and
older lines therefore not counted: nobody could tell any more whether they had been.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import LargeBinary, bindparam, delete, insert, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from server.storage.database import Base, Key

KEPT_DAYS = 30
MINUTE_MS = 60_000
DAY_MS = 24 * 60 * MINUTE_MS
ASKED_AT_ONCE = 500  # parameters of one select

Integers = npt.NDArray[np.int64]
Digests = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]

_KEY_BYTES = 64  # of a request's name; the stores' have 16 to 56
# Fixed: a line has the same digest in ten years. Stores choose the names at random, so none needs to be hard to find.
_MULTIPLIERS = np.frombuffer(hashlib.sha512(b"weightgate-seen-reads/v1").digest(), dtype="<u8") | np.uint64(1)


class SeenMinute(Base):
    """The requests that began in one minute and were counted."""

    __tablename__ = "seen_minutes"
    minute: Mapped[int] = mapped_column(Key, primary_key=True, autoincrement=False)  # since 1970, UTC
    digests: Mapped[bytes] = mapped_column(LargeBinary)  # 8 bytes each, little-endian, ascending


def digests_of(request_keys: Sequence[bytes]) -> Digests:
    """Return 64 bits for each name: a multilinear hash, modulo 2^64."""
    words = np.array(request_keys, dtype=f"S{_KEY_BYTES}").view("<u8").reshape(len(request_keys), _KEY_BYTES // 8)
    digests: Digests = (words * _MULTIPLIERS).sum(axis=1, dtype=np.uint64)
    return digests


def oldest_counted_ms(now_ms: int) -> int:
    """Return the first moment whose lines can still be told from those that were counted."""
    return now_ms - KEPT_DAYS * DAY_MS


def take(session: Session, at_ms: Integers, digests: Digests) -> Mask:
    """Return which of the lines are new, and remember them. Whoever calls holds the lock of all reconciling."""
    if not len(at_ms):  # all lines of a batch may be too old
        return np.zeros(0, dtype=np.bool_)
    minutes = at_ms // MINUTE_MS
    order = np.lexsort((digests, minutes))
    sorted_minutes, sorted_digests = minutes[order], digests[order]
    other_minute = np.ones(len(order), dtype=np.bool_)
    other_minute[1:] = sorted_minutes[1:] != sorted_minutes[:-1]
    new = other_minute.copy()
    new[1:] |= sorted_digests[1:] != sorted_digests[:-1]
    starts = np.flatnonzero(other_minute)
    known = _known(session, sorted_minutes[starts].tolist())
    added: list[dict[str, Any]] = []
    grown: list[dict[str, Any]] = []
    for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(order)], strict=True):
        minute, block = int(sorted_minutes[start]), sorted_digests[start:end]
        before = known.get(minute)
        if before is not None:
            new[start:end] &= ~_contains(before, block)
        fresh = block[new[start:end]]
        if not len(fresh):
            continue
        if before is None:
            added.append({"minute": minute, "digests": fresh.astype("<u8").tobytes()})
        else:
            merged = np.sort(np.concatenate((before, fresh)))
            grown.append({"of_minute": minute, "digests": merged.astype("<u8").tobytes()})
    if added:
        session.execute(insert(SeenMinute), added)
    if grown:
        session.connection().execute(_GROW, grown)
    mask = np.empty(len(order), dtype=np.bool_)
    mask[order] = new
    return mask


def forget(session: Session, now_ms: int) -> None:
    """Let go of minutes that no line is looked up in any more; a day late, in case the clock was set back."""
    oldest = (oldest_counted_ms(now_ms) - DAY_MS) // MINUTE_MS
    session.execute(delete(SeenMinute).where(SeenMinute.minute < oldest))


_GROW = update(SeenMinute).where(SeenMinute.minute == bindparam("of_minute")).values(digests=bindparam("digests"))


def _known(session: Session, minutes: list[int]) -> dict[int, Digests]:
    known: dict[int, Digests] = {}
    for start in range(0, len(minutes), ASKED_AT_ONCE):
        asked = SeenMinute.minute.in_(minutes[start : start + ASKED_AT_ONCE])
        for minute, digests in session.execute(select(SeenMinute.minute, SeenMinute.digests).where(asked)):
            known[minute] = np.frombuffer(digests, dtype="<u8")
    return known


def _contains(ascending: Digests, wanted: Digests) -> Mask:
    places = np.minimum(np.searchsorted(ascending, wanted), len(ascending) - 1)
    found: Mask = ascending[places] == wanted
    return found
