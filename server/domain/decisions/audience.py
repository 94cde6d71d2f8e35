"""A stage's audience: the organizations that are cleared for it, and which of them still lack a signature."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from server.domain.access.clearances import IN_FORCE, Clearance
from server.domain.access.signatures import Signature
from server.domain.identity.organizations import Organization
from server.domain.identity.people import Person
from server.domain.permissions import PARTNERS
from server.domain.release.agreements import Agreement
from server.domain.release.stages import Stage
from server.domain.release.tiers import Tier


@dataclass(frozen=True, slots=True)
class Member:
    """One cleared organization. people: who of it could download. signed: or nothing is to be signed."""

    slug: str
    name: str
    people: int
    until: datetime
    signed: bool


def of(session: Session, stage: Stage, at: datetime) -> Sequence[Member]:
    """Whom the stage is open to at a moment while it is open to partners, were it for each one's signature; by name."""
    people = (
        select(func.count())
        .where(Person.organization_id == Organization.id, Person.role.in_(PARTNERS), Person.disabled_at.is_(None))
        .scalar_subquery()
    )
    cleared = (
        select(Organization.slug, Organization.name, people, func.max(Clearance.expires_at), Organization.id)
        .join(Clearance, Clearance.organization_id == Organization.id)
        .join(Tier, Tier.id == Clearance.tier_id)
        .where(
            ~Organization.is_lab, Organization.suspended_at.is_(None), Clearance.model_id == stage.model_id, IN_FORCE,
            Clearance.starts_at <= at, Clearance.expires_at > at, Tier.rank >= stage.tier.rank,
        )
        .group_by(Organization.id, Organization.slug, Organization.name)
        .order_by(Organization.name)
    )  # fmt: skip
    signed = _signed(session, stage)
    return [
        Member(slug, name, count, until, stage.agreement_id is None or key in signed)
        for slug, name, count, until, key in session.execute(cleared)
    ]


def _signed(session: Session, stage: Stage) -> set[int]:
    """Whose signature of the current version of its agreement is in force."""
    query = select(Signature.organization_id).join(Agreement, Agreement.current_version_id == Signature.version_id)
    in_force = query.where(
        Agreement.id == stage.agreement_id, Signature.countersigned_at.is_not(None), Signature.ended_at.is_(None)
    )
    return set(session.scalars(in_force))
