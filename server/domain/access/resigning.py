"""Signing again: who has time to sign an agreement's new version, and who is told of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, exists, select
from sqlalchemy.orm import Session, aliased

from server.domain.access import reminders
from server.domain.access.reminders import About
from server.domain.access.signatures import Signature
from server.domain.callers import Caller
from server.domain.identity.organizations import Organization
from server.domain.mail import ending_notices
from server.domain.permissions import Permission
from server.domain.release.agreements import Agreement, AgreementVersion
from server.domain.resources import Resources
from server.storage.database import AnyRow

REMINDED_DAYS = (7, 1)  # before the last day
OPENING = 10_000  # the first mail, which tells of the new version: before any other


@dataclass(frozen=True, slots=True)
class Missing:
    """A signature that counts no longer than its time: its organization has not signed the new version yet."""

    signature_id: int
    organization_id: int
    organization: str
    slug: str
    agreement: str
    number: int
    published_at: datetime
    resign_until: datetime


def missing(session: Session, at: datetime, *more: ColumnElement[bool]) -> Sequence[Missing]:
    """Every organization, but suspended ones, that still has to sign a version for which there is time."""
    newer = aliased(Signature)
    has_signed = exists().where(
        newer.organization_id == Signature.organization_id, newer.version_id == Agreement.current_version_id,
        newer.ended_at.is_(None),
    )  # fmt: skip
    current, previous = aliased(AgreementVersion), aliased(AgreementVersion)
    query = (
        select(
            Signature.id, Signature.organization_id, Organization.name, Organization.slug, Agreement.name,
            current.number, current.published_at, current.resign_until,
        )
        .join(Agreement, Agreement.id == Signature.agreement_id)
        .join(current, current.id == Agreement.current_version_id)
        .join(previous, and_(previous.id == Signature.version_id, previous.number == current.number - 1))
        .join(Organization, Organization.id == Signature.organization_id)
        .where(current.resign_until > at, Signature.countersigned_at.is_not(None), Signature.ended_at.is_(None))
        .where(Organization.suspended_at.is_(None), ~has_signed, *more)
        .order_by(Signature.id)
    )  # fmt: skip
    rows: Sequence[AnyRow] = session.execute(query).all()
    return [Missing(*row) for row in rows]


def losing(session: Session, caller: Caller, agreement: str, at: datetime) -> Sequence[Missing]:
    """Who would lose access at once if another version were published now: their time ends with the one it is for."""
    caller.require(Permission.AGREEMENT_MANAGE)
    return missing(session, at, Agreement.name == agreement)


def remind(use: Resources) -> int:
    """Tell each of them when the new version is published and as often as is due. Returns how many were told."""
    with use.database.reading() as session:
        waiting = [one.signature_id for one, _ in _due(session, use.clock())]
    return sum(_remind_of(use, number) for number in waiting)


def _remind_of(use: Resources, signature_id: int) -> bool:
    """Whether it was for this worker to tell of it: what was read before may have changed."""
    with use.database.transaction() as session:
        at = use.clock()
        for one, days in _due(session, at, Signature.id == signature_id):
            if reminders.claim(session, About.SIGNATURE, signature_id, days, at):
                ending_notices.sign_again(
                    session, use, one.organization_id, one.agreement, one.number, one.resign_until, at,
                    is_first=days == OPENING,
                )  # fmt: skip
                return True
    return False


def _due(session: Session, at: datetime, *more: ColumnElement[bool]) -> list[tuple[Missing, int]]:
    """Each with its mail that is due and was not sent."""
    found = missing(session, at, *more)
    sent = reminders.nearest(session, About.SIGNATURE, [one.signature_id for one in found])
    asked = ((one, reminders.due(one.resign_until, REMINDED_DAYS, since=one.published_at, at=at)) for one in found)
    due = ((one, OPENING if days is None else days) for one, days in asked)
    return [(one, days) for one, days in due if days < sent.get(one.signature_id, days + 1)]
