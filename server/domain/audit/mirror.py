"""The mirror: what the public may read of the logs, in a bucket that serves it, so that readers cost us nothing.

`<folder>/<log>/checkpoint` and `<folder>/<log>/tile/…`, in the forms of C2SP tlog-tiles. Tiles are created once and
never replaced, and the head comes last, with the cosignatures that it has so far: whoever reads a head there finds
every tile of it. One worker at a time writes, by a lease that it renews immediately before it writes a head: one that
is older than the head before it would look like a log that shrank.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Mapped, Session, mapped_column

from server.domain.resources import Resources
from server.log import cosignatures, heads, published, tiles
from server.log.entries import Log
from server.log.heads import Head
from server.log.notes import VerifierKey
from server.log.sealing import LogHead, newest_head
from server.log.tiles import ENTRIES, WIDTH, Tile
from server.storage.database import Base, Key, Moment
from server.storage.log_bucket import LogBucket
from server.storage.objects import REQUESTS_AT_ONCE

MIRROR_EVERY_SECONDS = 30
LOOK_EVERY = timedelta(seconds=60)  # at what is there, where the log has not grown
LOOK_AT_CLOSED_EVERY = timedelta(hours=1)  # of which only the last head's cosignatures may still come
STEP_ENTRIES = 100_000  # some 800 objects: a minute's work, far within the lease
LEASE = timedelta(minutes=10)
TILE_HEADERS = {"ContentType": "application/octet-stream", "CacheControl": "public, max-age=31536000, immutable"}
HEAD_HEADERS = {"ContentType": "text/plain; charset=utf-8", "CacheControl": "public, max-age=5"}


class MirroredLog(Base):
    """How far a log is in the mirror. Told, not proven: the web and the metrics cannot read the bucket."""

    __tablename__ = "mirrored_logs"
    log_id: Mapped[int] = mapped_column(Key, primary_key=True, autoincrement=False)
    size: Mapped[int] = mapped_column(Key)
    mirrored_at: Mapped[datetime | None] = mapped_column(Moment)  # when it last had the newest head
    busy_until: Mapped[datetime | None] = mapped_column(Moment)  # the lease of a worker that writes now


class MirrorDiffers(Exception):
    """What is in the mirror is not this log. The text says what."""


def mirror(use: Resources) -> int:
    """Bring the mirror up to the newest head of each log; returns how many objects were made.

    Raises MirrorDiffers, ObjectStoreError, KeyFileError.
    """
    if use.log_mirror is None:
        return 0
    with use.database.reading() as session:
        logs = session.scalars(select(Log).order_by(Log.id)).all()
    return sum(_mirror(use, use.log_mirror, log) for log in logs)


def mirrored(session: Session, log: Log) -> MirroredLog | None:
    """What the worker wrote when it last mirrored this log."""
    return session.get(MirroredLog, log.id)


def head_in(bucket: LogBucket, log: Log) -> Head | None:
    """The head that is in the mirror; None where there is none yet. Raises MirrorDiffers, ObjectStoreError."""
    return _head_of(_note_in(bucket, log), log)


def _note_in(bucket: LogBucket, log: Log) -> bytes | None:
    try:
        return bucket.get_bytes(_head_key(bucket, log))
    except KeyError:
        return None


def _head_key(bucket: LogBucket, log: Log) -> str:
    return f"{bucket.folder}{log.name}/checkpoint"


def _head_of(note: bytes | None, log: Log) -> Head | None:
    try:
        return None if note is None else heads.verify(note, VerifierKey.parse(log.vkey))
    except ValueError as error:
        raise MirrorDiffers(f"the head of {log.origin} in the mirror is not its own: {error}") from None


def _mirror(use: Resources, bucket: LogBucket, log: Log) -> int:
    if _is_settled(use, log) or (lease := _take_lease(use, log)) is None:
        return 0
    made, size, is_newest = 0, None, False
    try:
        note = _note_in(bucket, log)
        found = _head_of(note, log)
        size = 0 if found is None else found.size
        while (step := _next(use, log, found)) is not None or _has_gained(use, log, size, note):
            made += 0 if step is None else _put_tiles(use, bucket, log, size, step)
            note = _cosigned(use, log, size if step is None else step.size)
            if (lease := _take_lease(use, log, lease)) is None:
                return made  # it took so long that another worker goes on, and may have written a newer head
            # From here on readers see it, and every tile of it is there.
            bucket.replace(_head_key(bucket, log), note, **HEAD_HEADERS)
            made += 1
            if step is not None:
                found, size = Head(log.origin, step.size, step.root), step.size
        is_newest = True
    finally:
        if lease is not None:
            _give_back(use, log, lease, size, is_newest)
    return made


def _is_settled(use: Resources, log: Log) -> bool:
    """Whether it has the newest head, as far as is told, and was looked at not long ago."""
    with use.database.reading() as session:
        row, newest = mirrored(session, log), newest_head(session, log.id)
        if row is None or row.mirrored_at is None or newest is None or row.size != newest.size:
            return False
        return use.clock() - row.mirrored_at < (LOOK_EVERY if log.closed_at is None else LOOK_AT_CLOSED_EVERY)


def _next(use: Resources, log: Log, found: Head | None) -> LogHead | None:
    """The head to mirror next: the newest, unless it is too far from what is there. Raises MirrorDiffers."""
    with use.database.reading() as session:
        newest = newest_head(session, log.id)
        if newest is None or (found is not None and newest.size < found.size):
            if found is not None:
                raise MirrorDiffers(f"the mirror has {found.size} entries of {log.origin}, more than the log has")
            return None
        if found is not None:
            _require_same(session, log, found)
            if newest.size == found.size:
                return None
        reach = (0 if found is None else found.size) + STEP_ENTRIES
        query = select(LogHead).where(LogHead.log_id == log.id, LogHead.size <= reach)
        query = query.order_by(LogHead.size.desc()).limit(1)
        step = session.scalar(query)
        return newest if step is None or (found is not None and step.size <= found.size) else step


def _require_same(session: Session, log: Log, found: Head) -> None:
    root = session.scalar(select(LogHead.root).where(LogHead.log_id == log.id, LogHead.size == found.size))
    if root != found.root:
        raise MirrorDiffers(f"the mirror has another log of {log.origin} at {found.size} entries: it is a fork")


def _has_gained(use: Resources, log: Log, size: int, note: bytes | None) -> bool:
    """Whether the head that is there has other cosignatures than it has there."""
    return note is not None and note != _cosigned(use, log, size)


def _cosigned(use: Resources, log: Log, size: int) -> bytes:
    """The head of this size as the server would serve it."""
    with use.database.reading() as session:
        query = select(LogHead).where(LogHead.log_id == log.id, LogHead.size == size)
        return cosignatures.under(session, session.scalars(query).one())


def _put_tiles(use: Resources, bucket: LogBucket, log: Log, size: int, head: LogHead) -> int:
    """Create every tile that this head has and the one before it had not."""
    prefix = f"{bucket.folder}{log.name}/"

    def put(tile: Tile) -> None:
        with use.database.reading() as session:
            content = published.tile(session, log, tile)
        key = prefix + tile.path
        if not bucket.create(key, content, **TILE_HEADERS) and bucket.get_bytes(key) != content:
            raise MirrorDiffers(f"{key} in the mirror is not the log's: it is never replaced; find out who wrote it")

    wanted = list(new_tiles(size, head.size))
    with ThreadPoolExecutor(REQUESTS_AT_ONCE, thread_name_prefix="mirror") as pool:
        for _ in pool.map(put, wanted):
            pass
    return len(wanted)


def new_tiles(before: int, size: int) -> Iterator[Tile]:
    """The tiles and entry bundles of a tree that a smaller one has not, lowest level first."""
    level = 0
    while (count := size >> 8 * level) > 0:
        for of in (ENTRIES, 0) if level == 0 else (level,):
            first = (before >> 8 * level) // WIDTH
            for index in range(first, -(-count // WIDTH)):
                width = tiles.width(of, index, size)
                if width != tiles.width(of, index, before):
                    yield Tile(of, index, width)
        level += 1


def _take_lease(use: Resources, log: Log, held: datetime | None = None) -> datetime | None:
    """Until when this worker alone may write; None while another one may.

    held: the lease that it has, which it keeps unless another one has taken it since, even if that one is done.
    """
    now = use.clock()
    with use.database.transaction() as session:
        row = session.scalar(select(MirroredLog).where(MirroredLog.log_id == log.id).with_for_update())
        if row is None:
            row = MirroredLog(log_id=log.id, size=0)
            session.add(row)
        elif row.busy_until != held and (held is not None or (row.busy_until is not None and row.busy_until > now)):
            return None
        row.busy_until = now + LEASE
        return row.busy_until


def _give_back(use: Resources, log: Log, lease: datetime, size: int | None, is_newest: bool) -> None:
    with use.database.transaction() as session:
        row = session.get_one(MirroredLog, log.id)
        if row.busy_until != lease:
            return
        row.busy_until = None
        if size is not None:
            row.size = size
        if is_newest:
            row.mirrored_at = use.clock()
