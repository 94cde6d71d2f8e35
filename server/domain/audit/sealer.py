"""The sealer's regular work: seal what was appended, anchor the head, and look again at what was sealed long ago.

Whatever does not fit stops the log for good, and with it all issuing, until people have looked (deploy/README.md).
"""

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.domain.audit import logs
from server.domain.meters import SEALING
from server.domain.resources import Resources
from server.log import anchors, sealing, verification
from server.log.anchors import BehindAnchor, Forked
from server.log.entries import Log
from server.log.heads import Head
from server.log.notes import Malformed
from server.log.sealing import ENTRIES_A_ROUND, LogHead, SealingStopped
from server.log.verification import Fault

SEAL_EVERY_SECONDS = 0.2
ANCHOR_EVERY_SECONDS = 60
RECHECK_EVERY_SECONDS = 1
RECHECKED_WITHIN_SECONDS = 12 * 3600  # twice a day, so that a restart now and then leaves once a day


def seal(use: Resources) -> int:
    """Seal everything that waits; returns how many entries. Raises SealingStopped, KeyFileError."""
    with use.database.reading() as session:
        log = logs.current(session)
    signer, sealed = use.log_signer(log.vkey), 0
    try:
        while (count := sealing.seal(use.database, signer, use.clock, partial(_count, use))) == ENTRIES_A_ROUND:
            sealed += count
    except SealingStopped as stopped:
        _stop(use, log, str(stopped))
        raise
    return sealed + count


def _count(use: Resources, appended_at: Sequence[datetime]) -> None:
    """How long entries waited, for the metrics."""
    now = use.clock()
    for at in appended_at:
        use.meters.observe(SEALING, max(0.0, (now - at).total_seconds()))


def anchored_size(use: Resources) -> int | None:
    """Return the size of the newest anchor, which the log agrees with; None when there is none.

    Raises BehindAnchor, Forked, ObjectStoreError.
    """
    if use.anchor_bucket is None:
        return None
    for is_last in (False, False, True):
        head = _newest_head(use)
        try:
            return anchors.require_agreement(use.anchor_bucket, head, partial(_root_at, use, head.origin))
        except BehindAnchor:
            # Unless another worker has sealed and anchored since the head was read.
            if is_last or _newest_head(use) == head:
                raise
    return None


def require_anchored(use: Resources) -> None:
    """See that the log is the one that was anchored. Raises BehindAnchor or Forked, and stops the log.

    Raises ObjectStoreError when the anchors cannot be read; nothing is stopped then.
    """
    try:
        anchored_size(use)
    except (BehindAnchor, Forked) as found:
        with use.database.reading() as session:
            log = logs.current(session)
        _stop(use, log, str(found))
        raise


def anchor(use: Resources) -> None:
    """Keep the newest head where the database cannot reach. Raises Forked, and stops the log; ObjectStoreError."""
    if use.anchor_bucket is None:
        return
    require_anchored(use)
    with use.database.reading() as session:
        log = logs.current(session)
        newest = sealing.newest_head(session, log.id)
    if newest is None:
        return
    try:
        anchors.write(use.anchor_bucket, Head(log.origin, newest.size, newest.root), newest.note.encode())
    except Forked as forked:
        _stop(use, log, str(forked))
        raise
    with use.database.transaction() as session:
        logs.note_anchored(session, log.id, newest.size, use.clock())


class Recheck:
    """Goes over the sealed entries again and again, a tile of 256 at a time; over those of past logs, too."""

    def __init__(self, use: Resources) -> None:
        self._use = use
        self._next = 0

    def step(self) -> Fault | None:
        """Verify as many tiles as it takes to be round in time; a fault stops the current log and is returned."""
        with self._use.database.reading() as session:
            newest = _newest_heads(session)
            tiles = sum(verification.tile_count(head.size) for head in newest)
            if tiles == 0:
                return None
            fault = None
            for _ in range(tiles_a_step(tiles)):
                head, number = _tile_at(newest, self._next % tiles)
                fault = fault or verification.tile_fault(session, head.log_id, number, head.size)
                self._next = (self._next + 1) % tiles
            log = logs.current(session)
        if fault is not None:
            _stop(self._use, log, f"{fault.row}: {fault.sentence}")
        return fault


def _tile_at(newest: Sequence[LogHead], place: int) -> tuple[LogHead, int]:
    """The log's head and the tile's number at a place in all tiles of all logs, one log after the other."""
    for head in newest:
        if place < (tiles := verification.tile_count(head.size)):
            break
        place -= tiles
    return head, place


def _newest_heads(session: Session) -> list[LogHead]:
    """Of every log but those that were abandoned with a reason: their faults are known."""
    sound = session.scalars(select(Log.id).where(Log.stop_reason.is_(None)).order_by(Log.id)).all()
    return [head for head in (sealing.newest_head(session, log_id) for log_id in sound) if head is not None]


def tiles_a_step(tiles: int) -> int:
    """How many of so many tiles each step of the recheck must take to be round in time."""
    return 1 + tiles * RECHECK_EVERY_SECONDS // RECHECKED_WITHIN_SECONDS


def _stop(use: Resources, log: Log, reason: str) -> None:
    sealing.stop(use.database, log.origin, reason, use.clock())


def _newest_head(use: Resources) -> Head:
    with use.database.reading() as session:
        log = logs.current(session)
        newest = sealing.newest_head(session, log.id)
    try:
        return Head.empty(log.origin) if newest is None else Head(log.origin, newest.size, newest.root)
    except Malformed:
        raise Forked(f"the head of size {newest.size if newest else 0} no longer exists") from None


def _root_at(use: Resources, origin: str, size: int) -> bytes | None:
    with use.database.reading() as session:
        query = select(LogHead.root).join(Log, Log.id == LogHead.log_id)
        return session.scalar(query.where(Log.origin == origin, LogHead.size == size))
