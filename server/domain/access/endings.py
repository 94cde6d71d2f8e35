"""Endings: clearances that end soon and that nothing outlasts, and who is reminded of it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, exists, select
from sqlalchemy.orm import Session, aliased, joinedload

from server.domain.access import access_requests, clearances, reminders
from server.domain.access.access_requests import AccessRequest
from server.domain.access.clearances import Clearance
from server.domain.access.reminders import About
from server.domain.callers import Caller
from server.domain.identity.organizations import Organization
from server.domain.mail import ending_notices
from server.domain.permissions import Permission
from server.domain.release.tiers import Tier
from server.domain.resources import Resources

REMINDED_DAYS = (60, 30, 7, 1)  # before the last day
SOON = timedelta(days=max(REMINDED_DAYS))
REMIND_EVERY_SECONDS = 60
LISTED_AT_MOST = 50  # in one mail


def soonest(
    session: Session, caller: Caller, at: datetime, within: timedelta = SOON, *, at_most: int | None = None
) -> Sequence[Clearance]:
    """What ends within a time, the next to end first: one's own organization's, for staff all."""
    caller.require(Permission.CLEARANCE_READ)
    query = _WITH_NAMES.where(*ending(at, within), *caller.within(Clearance.organization_id))
    return session.scalars(query.order_by(Clearance.expires_at, Clearance.id).limit(at_most)).all()


def ending(at: datetime, within: timedelta = SOON) -> list[ColumnElement[bool]]:
    """What makes a clearance one that ends: it is in force, its last day is near, and no other one outlasts it."""
    return [
        clearances.IN_FORCE, Clearance.starts_at <= at,
        Clearance.expires_at > at, Clearance.expires_at <= _end_of_day(at) + within, ~_OUTLASTED,
    ]  # fmt: skip


def remind(use: Resources) -> int:
    """Tell each organization whose access ends, as often as is due; once a week the lab. Returns how many were told."""
    with use.database.reading() as session:
        waiting = [clearance.id for clearance, _ in _due(session, use.clock())]
    return sum(_remind_of(use, number) for number in waiting) + _tell_lab(use)


def _remind_of(use: Resources, clearance_id: int) -> bool:
    """Whether it was for this worker to tell of it: what was read before may have changed."""
    with use.database.transaction() as session:
        at = use.clock()
        for clearance, days in _due(session, at, Clearance.id == clearance_id):
            if reminders.claim(session, About.CLEARANCE, clearance.id, days, at):
                ending_notices.access_ends(
                    session, use, clearance.organization_id, clearance.asked_by, clearance.id, clearance.wanted,
                    reminders.days_left(clearance.expires_at, at), clearance.expires_at, at,
                    is_asked=_is_asked(session, clearance),
                )  # fmt: skip
                return True
    return False


def _due(session: Session, at: datetime, *more: ColumnElement[bool]) -> list[tuple[Clearance, int]]:
    """Clearances that end, each with its reminder that is due and was not sent; of organizations that are active."""
    active = Organization.suspended_at.is_(None), ~Organization.is_lab
    query = _WITH_NAMES.join(Organization, Organization.id == Clearance.organization_id)
    found = session.scalars(query.where(*ending(at), *active, *more).order_by(Clearance.id)).all()
    sent = reminders.nearest(session, About.CLEARANCE, [one.id for one in found])
    asked = ((one, reminders.due(one.expires_at, REMINDED_DAYS, since=one.granted_at, at=at)) for one in found)
    return [(one, days) for one, days in asked if days is not None and days < sent.get(one.id, days + 1)]


def _is_asked(session: Session, clearance: Clearance) -> bool:
    """Whether the lab has something to decide that would let the organization keep its access to the model."""
    asked = select(AccessRequest.id).where(
        AccessRequest.organization_id == clearance.organization_id, AccessRequest.model_id == clearance.model_id,
        access_requests.IS_OPEN, AccessRequest.wanted_until > clearance.expires_at,
    )  # fmt: skip
    proposed = select(Clearance.id).where(
        Clearance.organization_id == clearance.organization_id, Clearance.model_id == clearance.model_id,
        clearances.IS_PROPOSED, Clearance.expires_at > clearance.expires_at,
    )  # fmt: skip
    return bool(session.scalar(select(asked.exists() | proposed.exists())))


def _tell_lab(use: Resources) -> bool:
    """The list of the week, from its Monday in UTC; a week in which nothing ends has none."""
    year, week, _ = use.clock().astimezone(UTC).isocalendar()
    with use.database.reading() as session:
        if reminders.nearest(session, About.WEEK, [year * 100 + week]):
            return False
    with use.database.transaction() as session:
        at = use.clock()
        if not reminders.claim(session, About.WEEK, year * 100 + week, 0, at):
            return False
        query = _WITH_NAMES.where(*ending(at)).order_by(Clearance.expires_at, Clearance.id).limit(LISTED_AT_MOST + 1)
        found = [(one.organization.name, one.wanted, one.expires_at) for one in session.scalars(query)]
        if found:
            ending_notices.week(session, use, found[:LISTED_AT_MOST], len(found) > LISTED_AT_MOST, at)
        return bool(found)


def _end_of_day(at: datetime) -> datetime:
    """The end of today in UTC, so that days are counted whole: what ends on the last of them is within it."""
    return at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)


_WITH_NAMES = select(Clearance).options(
    joinedload(Clearance.organization), joinedload(Clearance.model), joinedload(Clearance.tier),
    joinedload(Clearance.proposer),
)  # fmt: skip
_other, _mine, _its = aliased(Clearance), aliased(Tier), aliased(Tier)
# Another one of the organization on the model, no lower, that begins before this one ends and does not end before it.
# Of two that end together one is told of: the higher one, then the newer one.
_OUTLASTED = (
    exists()
    .select_from(_other)
    .where(
        _mine.id == Clearance.tier_id, _its.id == _other.tier_id,
        _other.organization_id == Clearance.organization_id, _other.model_id == Clearance.model_id,
        _other.id != Clearance.id, _other.approved_at.is_not(None), _other.revoked_at.is_(None),
        _other.starts_at <= Clearance.expires_at, _its.rank >= _mine.rank,
        (_other.expires_at > Clearance.expires_at)
        | (_other.expires_at == Clearance.expires_at) & ((_its.rank > _mine.rank) | (_other.id > Clearance.id)),
    )
    .correlate(Clearance)
)  # fmt: skip
