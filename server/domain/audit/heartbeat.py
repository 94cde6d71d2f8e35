"""Heartbeat: an entry each minute, so that whoever reads the log sees when it stood still."""

from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.domain import acts
from server.domain.entry_kinds import EntryKind
from server.domain.resources import Resources
from server.log.entries import LogEntry

INTERVAL_SECONDS = 60


def last(session: Session) -> datetime | None:
    """When a worker last showed that it lives; None for never."""
    beats = select(LogEntry.appended_at).where(LogEntry.kind == EntryKind.HEARTBEAT)
    return session.scalar(beats.order_by(LogEntry.id.desc()).limit(1))


def beat(use: Resources) -> bool:
    """Append a heartbeat unless another worker did so within the last half interval; returns whether it did."""
    with use.database.transaction() as session:
        at = use.clock()
        before = last(session)
        # A beat of the future is from a clock that was wrong: waiting for it would be silence.
        if before is not None and abs(at - before) < timedelta(seconds=INTERVAL_SECONDS / 2):
            return False
        acts.append(session, EntryKind.HEARTBEAT, at, {})
        return True
