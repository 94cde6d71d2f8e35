"""A stage's totals: all that was ever issued, fetched and refused of it, and the alarms about it."""

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from server.domain.access.refusals import Refusal
from server.domain.delivery.alarms import Alarm
from server.domain.delivery.statistics import CountedLog, TrafficDay
from server.domain.entry_kinds import EntryKind
from server.domain.publish import checkpoints
from server.log.entries import Log, LogEntry


@dataclass(frozen=True, slots=True)
class StageTotals:
    """Bytes that were fetched may grow for two days more."""

    downloads: int
    fetched_bytes: int
    refusals: int
    alarms: int


def of(session: Session, full_name: str) -> StageTotals:
    """The daily sums, and the downloads that are not counted into them yet: it costs the same however old a log is."""
    sums = select(func.sum(TrafficDay.downloads), func.sum(TrafficDay.fetched_bytes))
    downloads, fetched = session.execute(sums.where(TrafficDay.stage == full_name)).one()
    refused = select(func.count()).where(Refusal.stage == full_name)
    key = checkpoints.object_key(full_name, "", "").rstrip("/")
    raised = select(func.count()).where(Alarm.object_key.startswith(f"{key}/", autoescape=True))
    return StageTotals(
        int(downloads or 0) + _uncounted(session, full_name), int(fetched or 0),
        session.scalar(refused) or 0, session.scalar(raised) or 0,
    )  # fmt: skip


def _uncounted(session: Session, full_name: str) -> int:
    """Downloads that the worker has yet to count: those of the last seconds."""
    log_id = session.scalar(select(func.max(Log.id)))
    place = session.scalar(select(CountedLog.place).where(CountedLog.log_id == log_id)) or 0
    of_stage = (LogEntry.log_id == log_id, LogEntry.stage == full_name, LogEntry.kind == EntryKind.DOWNLOAD)
    young = ((LogEntry.leaf_index >= place), LogEntry.leaf_index.is_(None))
    return sum(session.scalar(select(func.count()).where(*of_stage, each)) or 0 for each in young)
