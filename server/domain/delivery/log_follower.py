"""Following: an access log that grows on this machine, read on from where the last look ended. Cheap each second."""

import glob
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import FileIO
from pathlib import Path

import orjson
from sqlalchemy import LargeBinary, String, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from server.domain.callers import Caller
from server.domain.delivery import reconciliation_run
from server.domain.delivery.reconciliation_run import Run, Summary
from server.domain.permissions import Permission
from server.domain.resources import Resources
from server.storage import access_log_embedded
from server.storage.access_log_sources import BLOCK_BYTES, LINE_BYTES_AT_MOST
from server.storage.access_logs import LogReader, Tally
from server.storage.database import Base, Key, Moment

BYTES_AT_ONCE = 64 << 20  # then the caller gets its turn; the next look goes on
RECORDED_EVERY = timedelta(hours=1)  # with what was found since; alarms are entries of their own, at once
_TAIL_BYTES = 4096  # several lines: the end of one alone may be like that of another


class FollowedLog(Base):
    """How far one growing log was read. The file is known by its inode and by what stands before the position."""

    __tablename__ = "followed_logs"
    path: Mapped[str] = mapped_column(String(1024), primary_key=True)
    inode: Mapped[int] = mapped_column(Key)
    position: Mapped[int] = mapped_column(Key)  # bytes; always the start of a line
    tail_sha256: Mapped[str] = mapped_column(String(64))
    since: Mapped[bytes] = mapped_column(LargeBinary)  # JSON: what was found since the log was last told
    recorded_at: Mapped[datetime | None] = mapped_column(Moment)


@dataclass(frozen=True, slots=True)
class _Place:
    """How far which file was read."""

    inode: int
    position: int
    tail_sha256: str


def follow(use: Resources, path: Path) -> Summary:
    """Count what was appended to the embedded proxy's access log since the last call; one that is not there is empty.

    A last line without its end is left for the next time. Where the file was cut or replaced, it is read from its
    start, since lines that come twice count once; a file that was renamed beside it is first read to its end.
    """
    name = str(path)
    with use.database.reading() as session:
        mark = session.get(FollowedLog, name)
    try:
        with path.open("rb", buffering=0) as stream:
            state = os.fstat(stream.fileno())
            nothing_new = mark is not None and (mark.inode, mark.position) == (state.st_ino, state.st_size)
            if nothing_new and not _waits_to_be_told(mark, use.clock()):
                return Summary()
            run = Run(use, None)
            run.summary.sources = [name]
            reached = _go_on(run, path, stream, state, mark)
    except FileNotFoundError:
        return Summary()
    if nothing_new or run.summary.lines or mark is None or (mark.inode, mark.position) != (
        reached.inode, reached.position,
    ):  # fmt: skip
        run.flush(lambda session, at: _remember(session, at, run.summary, reached))
    return run.summary


def followed(session: Session, caller: Caller) -> Sequence[FollowedLog]:
    """The logs that are followed, and how far each was read."""
    caller.require(Permission.LOG_AUDIT)
    return session.scalars(select(FollowedLog).order_by(FollowedLog.path)).all()


def _go_on(run: Run, path: Path, stream: FileIO, state: os.stat_result, mark: FollowedLog | None) -> _Place:
    start = 0
    if mark is not None and mark.inode != state.st_ino:
        renamed = _read_renamed(run, path, mark)
        # The proxy writes to the renamed file until it opens the new one, so until there is a line in that, more may
        # come. `state` is from before the renamed one was read.
        if renamed is not None and (state.st_size == 0 or renamed.position - mark.position >= BYTES_AT_ONCE):
            return renamed
    elif mark is not None and _tail(stream, mark.position) == mark.tail_sha256:
        start = mark.position
    return _read(run, stream, start)


def _read(run: Run, stream: FileIO, start: int) -> _Place:
    """Take whole lines from a position on; return where the next one will begin."""
    tally = Tally()
    reader = LogReader((access_log_embedded.always,), tally)
    position, rest = stream.seek(start), b""
    while position - start < BYTES_AT_ONCE and (block := stream.read(BLOCK_BYTES)):
        lines = (rest + block).split(b"\n")
        rest = lines.pop()
        if len(rest) > LINE_BYTES_AT_MOST:  # no line of the proxy's; its end will be one more unreadable line
            lines, rest = [*lines, b"\0" + rest[:100]], b""
        position = stream.tell() - len(rest)
        run.take(reader.reads(lines))
    run.add(tally)
    return _Place(os.fstat(stream.fileno()).st_ino, position, _tail(stream, position))


def _read_renamed(run: Run, path: Path, mark: FollowedLog) -> _Place | None:
    """Take what is left of a file that was renamed beside its successor, as log rotation does; None: it is gone."""
    for beside in sorted(path.parent.glob(f"{glob.escape(path.name)}?*")):
        if not beside.is_file() or beside.stat().st_ino != mark.inode:
            continue
        with beside.open("rb", buffering=0) as stream:
            if _tail(stream, mark.position) == mark.tail_sha256:
                return _read(run, stream, mark.position)
    return None


def _tail(stream: FileIO, position: int) -> str:
    """Return the hash of what stands before a position: a file that was cut and written anew has something else."""
    start = stream.seek(max(0, position - _TAIL_BYTES))
    return hashlib.sha256(stream.read(position - start)).hexdigest()


def _waits_to_be_told(mark: FollowedLog | None, at: datetime) -> bool:
    """Return whether the log went quiet before what was found in it was told."""
    if mark is None or mark.recorded_at is None or at - mark.recorded_at < RECORDED_EVERY:
        return False
    return bool(orjson.loads(mark.since)["lines"])


def _remember(session: Session, at: datetime, summary: Summary, reached: _Place) -> None:
    """Write how far it was read, and tell the log now and then what was found."""
    name = summary.sources[0]
    mark = FollowedLog(
        path=name, inode=reached.inode, position=reached.position, tail_sha256=reached.tail_sha256, recorded_at=None
    )
    since = Summary(sources=[name])
    since.add(summary.as_record())
    if (before := session.get(FollowedLog, name)) is not None:
        since.add(orjson.loads(before.since))
        mark.recorded_at = before.recorded_at
    since.logs = 1  # not one for each look
    if mark.recorded_at is None or at - mark.recorded_at >= RECORDED_EVERY:
        reconciliation_run.record(session, since, at)
        since, mark.recorded_at = Summary(), at
    mark.since = orjson.dumps(since.as_record())
    session.merge(mark)
