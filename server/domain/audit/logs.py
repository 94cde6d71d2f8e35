"""Logs: the one that is appended to now, the ones before it, and their keys."""

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Mapped, Session, mapped_column

from server.domain.errors import NotFound
from server.domain.paging import Page, Slice, page
from server.domain.resources import Resources
from server.log import entries
from server.log.entries import Log
from server.log.notes import VerifierKey
from server.log.sealing import LogHead
from server.storage import keys
from server.storage.database import AnyRow, Base, Key, Moment


class AnchoredLog(Base):
    """The newest head of a log that the worker has kept where the database cannot reach. Told, not proven: the anchors
    themselves are in a bucket that the web cannot read."""

    __tablename__ = "anchored_logs"
    log_id: Mapped[int] = mapped_column(Key, primary_key=True, autoincrement=False)
    size: Mapped[int] = mapped_column(Key)
    anchored_at: Mapped[datetime] = mapped_column(Moment)


def current(session: Session) -> Log:
    """The log that is appended to now. Raises NoLog."""
    log = session.scalar(select(Log).order_by(Log.id.desc()).limit(1))
    if log is None:
        raise entries.NoLog("no log to append to: run `weightgate-server init`")
    return log


def before(session: Session, log: Log) -> Log | None:
    """The log that this one continues."""
    return session.scalar(select(Log).where(Log.id < log.id).order_by(Log.id.desc()).limit(1))


def newest_first(session: Session) -> Sequence[Log]:
    return session.scalars(select(Log).order_by(Log.id.desc())).all()


def named(session: Session, name: str | None) -> Log:
    """A log by its name, or the one that is appended to now. Raises NotFound."""
    if name is None:
        return current(session)
    log = session.scalar(select(Log).where(Log.name == name))
    if log is None:
        raise NotFound("There is no such log.")
    return log


def anchored(session: Session, log: Log) -> AnchoredLog | None:
    """What the worker wrote when it last anchored this log."""
    return session.get(AnchoredLog, log.id)


def note_anchored(session: Session, log_id: int, size: int, at: datetime) -> None:
    """Write that a head of this size is anchored."""
    session.merge(AnchoredLog(log_id=log_id, size=size, anchored_at=at))


def heads(session: Session, log: Log, part: Slice) -> Page[AnyRow]:
    """A log's signed heads, newest first; each has its size as `id`, which no two of a log share."""
    query = select(LogHead.size.label("id"), LogHead.root, LogHead.note, LogHead.sealed_at)
    return page(session, query.where(LogHead.log_id == log.id), LogHead.size, part, newest_first=True, scalars=False)


def next_name(session: Session, use: Resources, at: datetime, is_taken: Callable[[str], bool] = lambda _: False) -> str:
    """The year, or the next name after it that is free. is_taken: by an origin that the database does not know."""
    taken = set(session.scalars(select(Log.name)))
    name, count = str(at.year), 1
    while name in taken or is_taken(f"{use.settings.log_host}/downloads/{name}"):
        count += 1
        name = f"{at.year}-{count}"
    return name


def open_next(session: Session, use: Resources, at: datetime, name: str | None = None) -> Log:
    """Begin the year's log, or its next one, signed by the keys that lie in the key files now."""
    name = name or next_name(session, use, at)
    return entries.open_log(
        session,
        _vkey(use.settings.log_key_file, f"{use.settings.log_host}/downloads/{name}"),
        _vkey(use.settings.receipt_key_file, f"{use.settings.log_host}/receipts/{name}"),
        at,
    )


def complete(use: Resources) -> list[str]:
    """Give keys to logs of before the sealed log; returns their origins. A key file that is missing is made.

    use: with the owner's role.
    """
    with use.database.transaction() as session:
        bare = session.scalars(select(Log).where(Log.vkey == "").order_by(Log.id)).all()
        for log in bare:
            for path in (use.settings.log_key_file, use.settings.receipt_key_file):
                if not path.exists():
                    keys.write_note_key(path)
            host, log.name = log.origin.partition("/")[0], log.origin.rpartition("/")[2]
            log.vkey = _vkey(use.settings.log_key_file, log.origin)
            log.receipt_vkey = _vkey(use.settings.receipt_key_file, f"{host}/receipts/{log.name}")
        return [log.origin for log in bare]


def _vkey(path: Path, name: str) -> str:
    return str(VerifierKey(name, keys.read_note_key(path).public_key().public_bytes_raw()))
