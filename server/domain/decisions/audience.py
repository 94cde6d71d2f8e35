"""A stage's audience: the organizations that are cleared for it, and which of them still lack a signature."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, case, func, select, true
from sqlalchemy.orm import Session

from server.domain.access import cleared, counting_signatures
from server.domain.access.clearances import Clearance
from server.domain.identity.organizations import Organization
from server.domain.identity.people import Person
from server.domain.permissions import PARTNERS
from server.domain.release.stages import Stage


@dataclass(frozen=True, slots=True)
class Member:
    """One cleared organization. people: who of it could download. signed: or nothing is to be signed."""

    slug: str
    name: str
    people: int
    until: datetime
    signed: bool


@dataclass(frozen=True, slots=True)
class Counts:
    """Cleared organizations with and without the signature that the stage requires."""

    signed: int
    unsigned: int


def counts(session: Session, stage: Stage, at: datetime) -> Counts:
    """How many organizations the stage is open to at a moment while it is open to partners."""
    counting = case((_is_signed(stage, cleared.ORGANIZATION, at), 1)).label("signed")  # else NULL, which is not counted
    found = cleared.organizations(stage.model_id, stage.tier.rank, at).add_columns(counting).subquery()
    query = select(func.count(), func.count(found.c.signed)).select_from(found)
    organizations, signed = session.execute(query).one()
    return Counts(signed, organizations - signed)


def people(session: Session, stage: Stage, at: datetime) -> int:
    """How many people could download from it then, of those that have signed."""
    signed = cleared.organizations(stage.model_id, stage.tier.rank, at)
    found = signed.where(_is_signed(stage, cleared.ORGANIZATION, at)).subquery()
    return int(session.scalar(select(func.sum(_people(found.c.organization_id)))) or 0)


def of(
    session: Session, stage: Stage, at: datetime, *, signed: bool | None = None, at_most: int | None = None
) -> Sequence[Member]:
    """Whom the stage is open to at a moment while it is open to partners, were it for each one's signature; by name.

    signed: only those that have it, or that lack it. at_most: no more than so many, whichever are found first.
    """
    conditions = cleared.conditions(stage.model_id, stage.tier.rank, at)
    some = select(cleared.ORGANIZATION).where(*conditions).distinct()
    if signed is not None:
        is_signed = _is_signed(stage, cleared.ORGANIZATION, at)
        some = some.where(is_signed if signed else ~is_signed)
    if at_most is not None:
        some = some.limit(at_most)
    until = select(func.max(Clearance.expires_at)).where(*conditions, Clearance.organization_id == Organization.id)
    shown = (
        Organization.slug, Organization.name, _people(Organization.id),
        until.correlate(Organization).scalar_subquery(), _is_signed(stage, Organization.id, at),
    )  # fmt: skip
    query = select(*shown).where(Organization.id.in_(select(some.subquery().c.organization_id)))
    return [
        Member(slug, name, people, ends_at, bool(has))
        for slug, name, people, ends_at, has in session.execute(query.order_by(Organization.name))
    ]


def lacks_signature(session: Session, stage: Stage, organization: Organization, at: datetime) -> bool:
    """Whether an organization is cleared for the stage, and would be refused until it signs."""
    of_it = Clearance.organization_id == organization.id
    conditions = (*cleared.conditions(stage.model_id, stage.tier.rank, at), of_it)
    query = select(Clearance.id).where(*conditions, ~_is_signed(stage, Clearance.organization_id, at))
    return session.scalar(query.limit(1)) is not None


def _people(organization_id: Any) -> Any:
    """How many of it could download."""
    query = select(func.count()).where(
        Person.organization_id == organization_id, Person.role.in_(PARTNERS), Person.disabled_at.is_(None)
    )
    return query.scalar_subquery()


def _is_signed(stage: Stage, organization_id: Any, at: datetime) -> ColumnElement[bool]:
    """Whether row 6 of the access rule would let it pass: a signature counts, or there is nothing to sign."""
    if stage.agreement_id is None:
        return true()
    return counting_signatures.is_there(stage.agreement_id, organization_id, at)
