"""Alarms: what reconciliation found that should not be. Each is an entry of the log as well, once for its cause.

The entry belongs to no organization, so that no partner learns from its own log what the lab has seen of it.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import orjson
from sqlalchemy import ForeignKey, Index, String, Text, select
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from server import dates
from server.domain import acts, long_texts
from server.domain.callers import Caller
from server.domain.entry_kinds import EntryKind
from server.domain.errors import NotFound, NotPossible
from server.domain.identity.organizations import Organization
from server.domain.paging import Page, Slice, page
from server.domain.permissions import Permission
from server.domain.resources import Resources
from server.log.entries import LogEntry
from server.logger import without_links
from server.storage.database import Base, Key, Moment
from server.text import printable

ASKED_AT_ONCE = 500
FOREIGN_TEXT_AT_MOST = 10_000  # looked at; far less is kept


class AlarmKind(StrEnum):
    """What was seen; the sentence is for whoever is on duty."""

    GHOST_READ = "ghost_read"
    FOREIGN_ADDRESS = "foreign_address"
    USED_AFTER_REVOCATION = "used_after_revocation"
    OVER_READ = "over_read"
    DECOY_TOUCHED = "decoy_touched"


WORDS = {
    AlarmKind.GHOST_READ: "Ghost read",
    AlarmKind.FOREIGN_ADDRESS: "Foreign address",
    AlarmKind.USED_AFTER_REVOCATION: "Used after revocation",
    AlarmKind.OVER_READ: "Excess read",
    AlarmKind.DECOY_TOUCHED: "Decoy accessed",
}
SENTENCES = {
    AlarmKind.GHOST_READ: "A file was read without a matching log entry: the signing key may be compromised.",
    AlarmKind.FOREIGN_ADDRESS: "A download was fetched from outside the organization's networks: its link may have "
    "leaked.",
    AlarmKind.USED_AFTER_REVOCATION: "A link that had not expired was used after the access behind it ended.",
    AlarmKind.OVER_READ: "One download fetched more than one and a half times a file's size.",
    AlarmKind.DECOY_TOUCHED: "Someone requested a decoy from the store: they have a store key, or have seen a "
    "list of the bucket's contents.",
}


class Alarm(Base):
    """One cause, raised once."""

    __tablename__ = "alarms"
    __table_args__ = (
        Index("ix_alarms_organization_id_id", "organization_id", "id"),
        Index("ix_alarms_kind_id", "kind", "id"),
        Index("ix_alarms_raised_at", "raised_at"),
    )
    id: Mapped[int] = mapped_column(Key, primary_key=True)
    cause_sha256: Mapped[str] = mapped_column(String(64), unique=True)
    kind: Mapped[AlarmKind] = mapped_column(String(32))
    reason: Mapped[str] = mapped_column(String(300))
    raised_at: Mapped[datetime] = mapped_column(Moment)
    read_at: Mapped[datetime] = mapped_column(Moment)  # when the request began, by the store's clock
    download_id: Mapped[str | None] = mapped_column(String(36), index=True)
    organization_id: Mapped[int | None] = mapped_column(ForeignKey("organizations.id"))
    object_key: Mapped[str] = mapped_column(String(1024))
    address: Mapped[str] = mapped_column(String(64))
    signed_by: Mapped[str] = mapped_column(
        String(300)
    )  # the identity as the store's log names it; "" where it does not
    user_agent: Mapped[str] = mapped_column(String(200))
    resolved_at: Mapped[datetime | None] = mapped_column(Moment)  # an admin has looked into it
    resolved_by: Mapped[str | None] = mapped_column(String(254))
    resolution: Mapped[str | None] = mapped_column(Text)
    organization: Mapped[Organization | None] = relationship(lazy="joined")


IS_OPEN, IS_RESOLVED = Alarm.resolved_at.is_(None), Alarm.resolved_at.is_not(None)
Index("ix_alarms_open", Alarm.id, sqlite_where=IS_OPEN, postgresql_where=IS_OPEN)
Index("ix_alarms_resolved", Alarm.id, sqlite_where=IS_RESOLVED, postgresql_where=IS_RESOLVED)


@dataclass(frozen=True, slots=True)
class Suspicion:
    """What would be an alarm if its cause has not raised one yet. `cause`: what makes two of a kind the same."""

    kind: AlarmKind
    cause: tuple[str, ...]
    reason: str
    at_ms: int
    object_key: str
    address: str
    by: str = ""
    user_agent: str | None = None
    download_id: str | None = None
    organization_id: int | None = None
    organization: str | None = None  # its slug

    @property
    def cause_sha256(self) -> str:
        return hashlib.sha256("\n".join((self.kind, *self.cause)).encode("utf-8", "replace")).hexdigest()


def raise_new(session: Session, suspicions: Iterable[Suspicion], at: datetime) -> list[AlarmKind]:
    """Raise what was not raised before, each with its entry; return the kinds of the new ones.

    Whoever calls holds the lock of all reconciling.
    """
    wanted = {suspicion.cause_sha256: suspicion for suspicion in suspicions}
    for cause in _known(session, list(wanted)):
        del wanted[cause]
    for cause, suspicion in wanted.items():
        _raise(session, cause, suspicion, at)
    return [suspicion.kind for suspicion in wanted.values()]


def listed(
    session: Session,
    caller: Caller,
    part: Slice,
    *,
    kind: AlarmKind | None = None,
    organization_id: int | None = None,
    resolved: bool | None = None,
) -> Page[Alarm]:
    """Alarms, newest first; for admins and auditors alone."""
    caller.require(Permission.ALARM_READ)
    query = select(Alarm)
    if resolved is not None:
        query = query.where(IS_RESOLVED if resolved else IS_OPEN)
    if kind is not None:
        query = query.where(Alarm.kind == kind)
    if organization_id is not None:
        query = query.where(Alarm.organization_id == organization_id)
    return page(session, query, Alarm.id, part, newest_first=True)


def get(session: Session, caller: Caller, alarm_id: int) -> Alarm:
    """Raises NotFound."""
    caller.require(Permission.ALARM_READ)
    alarm = session.get(Alarm, alarm_id)
    if alarm is None:
        raise NotFound(f"There is no alarm {alarm_id}.")
    return alarm


def entry_of(session: Session, alarm: Alarm) -> LogEntry | None:
    """The log entry that was written when the alarm was raised."""
    told = LogEntry.appended_at == alarm.raised_at, LogEntry.kind == EntryKind.ALARM, LogEntry.code == alarm.kind
    return next((entry for entry in session.scalars(select(LogEntry).where(*told)) if _tells(entry, alarm)), None)


def token_of(session: Session, alarm: Alarm) -> str | None:
    """The public id of the token that was used for the download whose files were fetched; None where none was."""
    told = LogEntry.kind == EntryKind.DOWNLOAD, LogEntry.subject == alarm.download_id
    entry = None if alarm.download_id is None else session.scalar(select(LogEntry).where(*told))
    record = {} if entry is None or not entry.record else orjson.loads(entry.record)
    token: str | None = record.get("actor", {}).get("token")
    return token


def of_entry(session: Session, entry: LogEntry) -> Alarm | None:
    """The alarm that an entry tells of."""
    raised = session.scalars(select(Alarm).where(Alarm.raised_at == entry.appended_at, Alarm.kind == entry.code))
    return next((alarm for alarm in raised if _tells(entry, alarm)), None)


def resolve(use: Resources, caller: Caller, alarm_id: int, resolution: str) -> Alarm:
    """Say what came of an alarm. It stays in the list and in the log; nobody resolves it twice."""
    caller.require(Permission.ALARM_RESOLVE)
    resolution = long_texts.require(resolution, "the outcome")
    with use.database.transaction() as session:
        alarm = session.get(Alarm, alarm_id, with_for_update={"of": Alarm}, populate_existing=True)
        if alarm is None:
            raise NotFound(f"There is no alarm {alarm_id}.")
        if alarm.resolved_at is not None:
            raise NotPossible(
                f"{alarm.resolved_by} has already resolved it: {alarm.resolution}",
                next_step="There is nothing left to do.",
            )
        alarm.resolved_at, alarm.resolved_by, alarm.resolution = use.clock(), caller.person, resolution
        record = {
            "actor": caller.as_record(), "resolved": alarm.id, "alarm": alarm.kind, "download": alarm.download_id,
            "organization": alarm.organization.slug if alarm.organization else None, "resolution": alarm.resolution,
        }  # fmt: skip
        told = {key: value for key, value in record.items() if value is not None}
        acts.append(session, EntryKind.ALARM_RESOLVE, alarm.resolved_at, told)
        return alarm


def _tells(entry: LogEntry, alarm: Alarm) -> bool:
    """Whether it is this alarm's: several may be raised at one moment."""
    if not entry.record:
        return False
    said = orjson.loads(entry.record)
    mine = {"object_key": alarm.object_key, "address": alarm.address, "reason": alarm.reason}
    return entry.subject == alarm.download_id and {name: said.get(name) for name in mine} == mine


def _known(session: Session, causes: list[str]) -> set[str]:
    found: set[str] = set()
    for start in range(0, len(causes), ASKED_AT_ONCE):
        asked = Alarm.cause_sha256.in_(causes[start : start + ASKED_AT_ONCE])
        found.update(session.scalars(select(Alarm.cause_sha256).where(asked)))
    return found


def _raise(session: Session, cause: str, about: Suspicion, at: datetime) -> None:
    alarm = Alarm(
        cause_sha256=cause, kind=about.kind, reason=printable(about.reason[:300]), raised_at=at,
        read_at=dates.of_milliseconds(about.at_ms), download_id=about.download_id,
        organization_id=about.organization_id, object_key=_plain(about.object_key, 1024),
        address=_plain(about.address, 64), signed_by=_plain(about.by, 300),
        user_agent=_plain(about.user_agent or "", 200),
    )  # fmt: skip
    session.add(alarm)
    told = {
        "alarm": about.kind, "reason": alarm.reason, "read_at": about.at_ms, "object_key": alarm.object_key,
        "address": alarm.address, "signed_by": alarm.signed_by or None, "user_agent": alarm.user_agent or None,
        "download": about.download_id, "organization": about.organization,
    }  # fmt: skip
    record = {key: value for key, value in told.items() if value is not None}
    acts.append(session, EntryKind.ALARM, at, record)


def _plain(text: str, characters: int) -> str:
    """Foreign text for a record: cut, printable, and no link or token in it, whatever a client put there."""
    return printable(without_links(text[:FOREIGN_TEXT_AT_MOST])[:characters])
