"""Clocks: a stretch of entries with times that had not come yet is explained, so that verification can go on."""

from sqlalchemy import func, select

from server import dates
from server.domain import acts
from server.domain.audit.verifying import require_reason
from server.domain.callers import Caller
from server.domain.entry_kinds import EntryKind
from server.domain.errors import NotPossible
from server.domain.permissions import Permission
from server.domain.resources import Resources
from server.log import condition
from server.log.entries import CLOCKS_DIFFER_BY, LogEntry


def acknowledge(use: Resources, caller: Caller, because: str) -> int:
    """Record that entries are dated ahead of time since a clock was wrong; returns by how many seconds.

    Call it once the clock is right again. Raises NotPossible when no entry is ahead of it by more than a minute.
    """
    caller.require(Permission.LOG_MANAGE)
    require_reason(because)
    with use.database.transaction() as session:
        at = use.clock()
        ahead = select(func.max(LogEntry.appended_at)).where(LogEntry.id > condition.LAST_ACKNOWLEDGED)
        newest = session.scalar(ahead)
        if newest is None or newest - at <= CLOCKS_DIFFER_BY:
            raise NotPossible("No entry is more than a minute ahead of the clock. There is nothing to acknowledge.")
        record = {
            "actor": caller.as_record(), "because": because,
            "ahead_until": dates.milliseconds(newest),
        }  # fmt: skip
        acts.append(session, EntryKind.CLOCK_ACKNOWLEDGE, at, record)
        return int((newest - at).total_seconds())
