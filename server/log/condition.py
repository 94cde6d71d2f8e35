"""The log's condition: whether it can be relied on now, so that what must be logged may be done."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Select, bindparam, func, select
from sqlalchemy.orm import Session

from server.log.entries import CLOCKS_DIFFER_BY, ID_BESIDE_TIME, LOG_OF_WAITING, Log, LogEntry, NoLog
from server.storage.database import Moment
from server.storage.statements import Statement

SEALED_WITHIN = timedelta(seconds=30)
CLOCK_ACKNOWLEDGED = "clock.acknowledge"  # the kind of an entry that explains times ahead of the clock


class LogUnsound(Exception):
    """The log is stopped, or is not being sealed. The text says which."""


@dataclass(frozen=True, slots=True)
class SoundLog:
    """The log that may be appended to now. receipt_vkey: of the key that signs receipts for its entries."""

    id: int
    origin: str
    receipt_vkey: str


class NewestLog(NamedTuple):
    """What its condition follows from.

    oldest: when the oldest entry was appended that is not sealed yet. ahead: the latest time of an entry that is more
    than a minute ahead of the clock.
    """

    id: int
    origin: str
    receipt_vkey: str
    stop_reason: str | None
    oldest: datetime | None
    ahead: datetime | None


def require_sound(session: Session, at: datetime) -> SoundLog:
    """Return the newest log. Raises LogUnsound when it was found changed, its oldest unsealed entry is too old, or
    our clock is behind it; NoLog when there is none.
    """
    return sound(_CONDITION.first(session, limit=at + CLOCKS_DIFFER_BY), at)


def sound(row: NewestLog | None, at: datetime) -> SoundLog:
    """The same by what `newest` gave."""
    if row is None:
        raise NoLog("no log to append to: run `weightgate-server init`")
    if row.stop_reason is not None:
        raise LogUnsound(f"the log is stopped: {row.stop_reason}")
    if row.oldest is not None and at - row.oldest > SEALED_WITHIN:
        raise LogUnsound(f"the log has not been sealed since {row.oldest:%H:%M:%S} UTC: is the worker running?")
    _require_clock(row, at)
    return SoundLog(row.id, row.origin, row.receipt_vkey)


def require_clock(session: Session, at: datetime) -> None:
    """Raise LogUnsound when our clock is behind the log: whoever decides by it decides wrongly."""
    row = _CONDITION.first(session, limit=at + CLOCKS_DIFFER_BY)
    if row is not None:
        _require_clock(row, at)


def _require_clock(row: NewestLog, at: datetime) -> None:
    if row.ahead is not None:
        raise LogUnsound(
            f"the clock is {(row.ahead - at).total_seconds():.0f} s behind the newest entry: correct it. If it was "
            "wrong then and is right now, run `weightgate-server log acknowledge-clock`"
        )


# Entries up to here may be ahead of the clock: somebody has explained them.
LAST_ACKNOWLEDGED = func.coalesce(
    select(func.max(LogEntry.id)).where(LogEntry.kind == CLOCK_ACKNOWLEDGED).correlate(None).scalar_subquery(), 0
)
_OLDEST = (
    select(LogEntry.appended_at)
    .where(LogEntry.leaf_index.is_(None), Log.id == LOG_OF_WAITING)  # what an abandoned log left is sealed no more
    .order_by(LogEntry.id)
    .limit(1)
    .correlate(Log)
    .scalar_subquery()
)


def newest(limit: str) -> Select[int, str, str, str | None, datetime | None, datetime | None]:
    """The newest log and what its condition follows from, as a query. limit: the name of the parameter that says from
    when on an entry is ahead of the clock."""
    ahead = (
        select(func.max(LogEntry.appended_at))
        .where(LogEntry.appended_at > bindparam(limit, type_=Moment()), ID_BESIDE_TIME > LAST_ACKNOWLEDGED)
        .correlate(None)
        .scalar_subquery()
    )
    columns = (Log.id, Log.origin, Log.receipt_vkey, Log.stop_reason, _OLDEST.label("oldest"), ahead.label("ahead"))
    return select(*columns).order_by(Log.id.desc()).limit(1)


_CONDITION = Statement(newest("limit"), NewestLog)
