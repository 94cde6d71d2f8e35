"""The log's status: what there is of it, and whether anything can be issued now."""

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from server.domain.audit import heartbeat, logs, mirror, sealer, witnessing
from server.domain.audit.witnessing import Seen
from server.domain.callers import Caller
from server.domain.delivery import alarms, statistics
from server.domain.delivery.alarms import Alarm
from server.domain.entry_kinds import EntryKind
from server.domain.permissions import Permission
from server.domain.resources import Resources
from server.log import condition
from server.log.anchors import BehindAnchor, Forked
from server.log.condition import LogUnsound
from server.log.entries import Log, LogEntry
from server.log.sealing import newest_head
from server.storage.keys import KeyFileError
from server.storage.objects import ObjectStoreError


@dataclass
class Status:
    """Of the log that is appended to now; alarms and reconciliation are of the whole instance.

    problems: why nothing can be issued, or soon no more; empty when all is well.
    """

    origin: str
    opened_at: datetime
    size: int = 0  # sealed entries
    sealed_at: datetime | None = None  # when the newest head was signed
    unsealed: int = 0
    oldest_unsealed_at: datetime | None = None
    oldest_unsealed_seconds: int | None = None
    stopped_at: datetime | None = None
    stop_reason: str | None = None
    beat_at: datetime | None = None  # when a worker last showed that it lives
    anchors_are_kept: bool = False
    anchored_at: datetime | None = None  # when a worker last kept or found the newest head there
    anchored_size: int | None = None  # of the newest anchor
    mirror_is_kept: bool = False
    mirrored_at: datetime | None = None  # when a worker last found the newest head in the mirror, or put it there
    mirrored_size: int = 0
    witnesses: list[Seen] = field(default_factory=list)  # those of the settings
    alarms: dict[str, int] = field(default_factory=dict)  # raised so far, by kind
    reconciled_at: datetime | None = None
    uncounted: int = 0  # sealed entries that no chart shows yet
    problems: list[str] = field(default_factory=list)


def status(use: Resources) -> Status:
    """Look at the log and at its anchors. Raises NoLog, DatabaseUnavailable."""
    found = known(use)
    _look_at_anchors(use, found)
    return found


def open_alarms(session: Session, caller: Caller) -> dict[str, int]:
    """How many alarms of each kind nobody has resolved; for admins and auditors alone."""
    caller.require(Permission.ALARM_READ)
    query = select(Alarm.kind, func.count()).where(alarms.IS_OPEN).group_by(Alarm.kind)
    return dict(session.execute(query).all())


def known(use: Resources) -> Status:
    """What the database knows of it, without the anchors, which the web cannot read. Raises NoLog."""
    at = use.clock()
    with use.database.reading() as session:
        log = logs.current(session)
        newest = newest_head(session, log.id)
        found = Status(log.origin, log.created_at, stopped_at=log.stopped_at, stop_reason=log.stop_reason)
        if newest is not None:
            found.size, found.sealed_at = newest.size, newest.sealed_at
        found.unsealed = _unsealed(session, log)
        found.oldest_unsealed_at = _oldest_unsealed(session, log)
        found.beat_at = heartbeat.last(session)
        if (anchored := logs.anchored(session, log)) is not None:
            found.anchored_at = anchored.anchored_at
        found.mirror_is_kept = use.settings.log_mirror is not None
        if found.mirror_is_kept and (there := mirror.mirrored(session, log)) is not None:
            found.mirrored_at, found.mirrored_size = there.mirrored_at, there.size
        found.witnesses = witnessing.seen(session, use, log)
        if found.oldest_unsealed_at is not None:
            found.oldest_unsealed_seconds = max(0, int((at - found.oldest_unsealed_at).total_seconds()))
        counted = select(Alarm.kind, func.count()).group_by(Alarm.kind).order_by(Alarm.kind)
        found.alarms = {str(kind): count for kind, count in session.execute(counted)}
        found.uncounted = statistics.uncounted(session)
        found.reconciled_at = reconciled_at(session)
        try:
            condition.require_sound(session, at)
        except LogUnsound as error:
            found.problems.append(str(error))
    return found


def reconciled_at(session: Session) -> datetime | None:
    """When an access log of the store was last read; None for never."""
    return _newest_of(session, EntryKind.RECONCILIATION)


def _look_at_anchors(use: Resources, found: Status) -> None:
    found.anchors_are_kept = use.settings.anchor_bucket is not None
    try:
        found.anchored_size = sealer.anchored_size(use)
    except (BehindAnchor, Forked, ObjectStoreError, KeyFileError) as error:
        found.problems.append(str(error))


def _unsealed(session: Session, log: Log) -> int:
    query = select(func.count()).where(LogEntry.log_id == log.id, LogEntry.leaf_index.is_(None))
    return session.scalar(query) or 0


def _oldest_unsealed(session: Session, log: Log) -> datetime | None:
    query = select(LogEntry.appended_at).where(LogEntry.log_id == log.id, LogEntry.leaf_index.is_(None))
    return session.scalar(query.order_by(LogEntry.id).limit(1))


def _newest_of(session: Session, kind: str) -> datetime | None:
    query = select(LogEntry.appended_at).where(LogEntry.kind == kind).order_by(LogEntry.id.desc()).limit(1)
    return session.scalar(query)
