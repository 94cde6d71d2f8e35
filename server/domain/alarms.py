"""Alarms: what reconciliation found that should not be. Each is an entry of the log as well, once for its cause.

The entry belongs to no organization, so that no partner learns from its own log what the lab has seen of it.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, String, select
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from server.domain.organizations import Organization
from server.domain.paging import Page, Slice, page
from server.log import entries
from server.logger import redact
from server.storage.database import Base, Key, Moment

KIND = "alarm"
ASKED_AT_ONCE = 500
FOREIGN_TEXT_AT_MOST = 10_000  # looked at; far less is kept


class AlarmKind(StrEnum):
    """What was seen; the sentence is for whoever is on duty."""

    GHOST_READ = "ghost_read"
    FOREIGN_ADDRESS = "foreign_address"
    USED_AFTER_REVOCATION = "used_after_revocation"
    OVER_READ = "over_read"
    DECOY_TOUCHED = "decoy_touched"


SENTENCES = {
    AlarmKind.GHOST_READ: "A file was read that no entry of the log allows: the signing key may be in other hands.",
    AlarmKind.FOREIGN_ADDRESS: "A download was fetched from a network that is not the organization's: a leaked link.",
    AlarmKind.USED_AFTER_REVOCATION: "A link that still lived was used after the access behind it had ended.",
    AlarmKind.OVER_READ: "More than one and a half times a file's size was fetched under one download.",
    AlarmKind.DECOY_TOUCHED: "Somebody asked for a decoy, which nobody has a reason to know of.",
}


class Alarm(Base):
    """One cause, raised once."""

    __tablename__ = "alarms"
    __table_args__ = (Index("ix_alarms_organization_id_id", "organization_id", "id"),)
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
    organization: Mapped[Organization | None] = relationship(lazy="joined")


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
    session: Session, part: Slice, *, kind: AlarmKind | None = None, organization_id: int | None = None
) -> Page[Alarm]:
    """Alarms, newest first. For admins and auditors alone: whoever calls has asked the policy."""
    query = select(Alarm)
    if kind is not None:
        query = query.where(Alarm.kind == kind)
    if organization_id is not None:
        query = query.where(Alarm.organization_id == organization_id)
    return page(session, query, Alarm.id, part, newest_first=True)


def of_download(session: Session, download_id: str) -> Sequence[Alarm]:
    return session.scalars(select(Alarm).where(Alarm.download_id == download_id).order_by(Alarm.id)).all()


def _known(session: Session, causes: list[str]) -> set[str]:
    found: set[str] = set()
    for start in range(0, len(causes), ASKED_AT_ONCE):
        asked = Alarm.cause_sha256.in_(causes[start : start + ASKED_AT_ONCE])
        found.update(session.scalars(select(Alarm.cause_sha256).where(asked)))
    return found


def _raise(session: Session, cause: str, about: Suspicion, at: datetime) -> None:
    alarm = Alarm(
        cause_sha256=cause, kind=about.kind, reason=_printable(about.reason, 300), raised_at=at,
        read_at=datetime.fromtimestamp(about.at_ms / 1000, UTC), download_id=about.download_id,
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
    entries.append(session, kind=KIND, at=at, record=record, subject=about.download_id, code=about.kind)


# Where a link begins, or what signs one; written plainly or once more encoded.
_LINK = re.compile(r"(\?|://|%3f|%3a%2f%2f|x-amz-).*", re.IGNORECASE | re.DOTALL)


def _plain(text: str, characters: int) -> str:
    """Foreign text for a record: cut, printable, and no link or token in it, whatever a client put there."""
    return _printable(redact(_LINK.sub("…", text[:FOREIGN_TEXT_AT_MOST])), characters)


def _printable(text: str, characters: int) -> str:
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text[:characters])
