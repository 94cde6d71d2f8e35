"""Logs: the one that is appended to now, the ones before it, and their keys."""

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.domain.resources import Resources
from server.log import entries
from server.log.entries import Log
from server.log.notes import VerifierKey
from server.storage import keys


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
