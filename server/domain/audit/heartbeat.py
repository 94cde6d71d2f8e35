"""Heartbeat: an entry each minute, so that whoever reads the log sees when it stood still."""

from datetime import timedelta

from sqlalchemy import select

from server.domain.resources import Resources
from server.log import entries
from server.log.entries import LogEntry

KIND = "heartbeat"
INTERVAL_SECONDS = 60


def beat(use: Resources) -> bool:
    """Append a heartbeat unless another worker did so within the last half interval; returns whether it did."""
    with use.database.transaction() as session:
        at = use.clock()
        last = select(LogEntry.appended_at).where(LogEntry.kind == KIND).order_by(LogEntry.id.desc()).limit(1)
        before = session.scalar(last)
        # A beat of the future is from a clock that was wrong: waiting for it would be silence.
        if before is not None and abs(at - before) < timedelta(seconds=INTERVAL_SECONDS / 2):
            return False
        entries.append(session, kind=KIND, at=at, record={})
        return True
