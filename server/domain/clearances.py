"""Clearances: an organization has a tier on a model, from a moment until another, unless revoked."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, select
from sqlalchemy.orm import Mapped, Session, joinedload, mapped_column, relationship

from server.domain import organizations, tiers
from server.domain.callers import Caller
from server.domain.errors import InvalidRequest, NotFound, NotPossible
from server.domain.organizations import Organization
from server.domain.paging import Page, Slice, page
from server.domain.permissions import Permission
from server.domain.resources import Resources
from server.domain.stages import Model
from server.domain.tiers import Tier
from server.log import entries
from server.storage.database import Base, Key, Moment


class Clearance(Base):
    """Proposed by one admin; in force once approved, by another one where the tier demands it."""

    __tablename__ = "clearances"
    __table_args__ = (Index("ix_clearances_organization_id_model_id", "organization_id", "model_id"),)
    id: Mapped[int] = mapped_column(Key, primary_key=True)
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"))
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id"))
    tier_id: Mapped[int] = mapped_column(ForeignKey("tiers.id"))
    purpose: Mapped[str] = mapped_column(String(1000))
    starts_at: Mapped[datetime] = mapped_column(Moment)
    expires_at: Mapped[datetime] = mapped_column(Moment)  # the first moment at which it no longer holds
    proposed_by: Mapped[int] = mapped_column(ForeignKey("people.id"))
    proposed_at: Mapped[datetime] = mapped_column(Moment)
    approved_by: Mapped[int | None] = mapped_column(ForeignKey("people.id"))
    approved_at: Mapped[datetime | None] = mapped_column(Moment)
    revoked_by: Mapped[int | None] = mapped_column(ForeignKey("people.id"))
    revoked_at: Mapped[datetime | None] = mapped_column(Moment)
    organization: Mapped[Organization] = relationship()
    model: Mapped[Model] = relationship()
    tier: Mapped[Tier] = relationship()

    def state_at(self, moment: datetime) -> str:
        """One word for people: proposed, revoked, expired, upcoming or active."""
        if self.revoked_at is not None:
            return "revoked"
        if moment >= self.expires_at:
            return "expired"
        if self.approved_at is None:
            return "proposed"
        return "upcoming" if moment < self.starts_at else "active"


def propose(
    use: Resources,
    caller: Caller,
    organization: str,
    model: str,
    tier: str,
    *,
    expires_at: datetime,
    starts_at: datetime | None = None,
    purpose: str,
) -> Clearance:
    """Propose a clearance; it is approved at once where its tier does not demand a second person."""
    caller.require(Permission.CLEARANCE_PROPOSE)
    if not purpose.strip() or len(purpose) > 1000:
        raise InvalidRequest("Say what the organization needs it for, in at most 1000 characters.")
    with use.database.transaction() as session:
        at = use.clock()
        starts_at = starts_at or at
        if expires_at <= max(starts_at, at):
            raise InvalidRequest("A clearance must end after it starts, and not in the past.")
        partner = organizations.get(session, organization)
        family = session.scalar(select(Model).where(Model.name == model))
        if family is None:
            raise NotFound(f"There is no model {model}.")
        rank = tiers.get(session, tier)
        alone = not tiers.needs_second_person(session, rank, use.settings.second_person_tier)
        clearance = Clearance(
            organization=partner, model=family, tier=rank, purpose=purpose.strip(), starts_at=starts_at,
            expires_at=expires_at, proposed_by=caller.person_id, proposed_at=at,
            approved_by=caller.person_id if alone else None, approved_at=at if alone else None,
        )  # fmt: skip
        session.add(clearance)
        session.flush()
        _record(session, caller, "clearance.propose", clearance, at)
        if alone:
            _record(session, caller, "clearance.approve", clearance, at)
        return clearance


def approve(use: Resources, caller: Caller, clearance_id: int) -> Clearance:
    """Put a proposed clearance into force. Never by the one who proposed it."""
    caller.require(Permission.CLEARANCE_APPROVE)
    with use.database.transaction() as session:
        clearance = _locked(session, clearance_id)
        at = use.clock()
        if clearance.state_at(at) != "proposed":
            raise NotPossible(f"Clearance {clearance_id} is {clearance.state_at(at)}: only a proposed one is approved.")
        if clearance.proposed_by == caller.person_id:
            raise NotPossible("Whoever proposed a clearance cannot approve it: another admin must.")
        clearance.approved_by, clearance.approved_at = caller.person_id, at
        _record(session, caller, "clearance.approve", clearance, at)
        return clearance


def revoke(use: Resources, caller: Caller, clearance_id: int) -> None:
    """End a clearance at once: no download is issued under it once this has returned."""
    caller.require(Permission.CLEARANCE_REVOKE)
    with use.database.transaction() as session:
        clearance = _locked(session, clearance_id)
        if clearance.revoked_at is not None:
            raise NotPossible(f"Clearance {clearance_id} is revoked already.")
        clearance.revoked_by, clearance.revoked_at = caller.person_id, use.clock()
        _record(session, caller, "clearance.revoke", clearance, clearance.revoked_at)


def visible(session: Session, caller: Caller, part: Slice) -> Page[Clearance]:
    """One's own organization's clearances, newest first; for staff all."""
    if not caller.is_staff:
        return of_organization(session, caller.organization_id, part)
    return page(session, _WITH_NAMES, Clearance.id, part, newest_first=True)


def of_organization(session: Session, organization_id: int | None, part: Slice) -> Page[Clearance]:
    query = _WITH_NAMES.where(Clearance.organization_id == organization_id)
    return page(session, query, Clearance.id, part, newest_first=True)


_WITH_NAMES = select(Clearance).options(
    joinedload(Clearance.organization), joinedload(Clearance.model), joinedload(Clearance.tier)
)


def _locked(session: Session, clearance_id: int) -> Clearance:
    clearance = session.get(Clearance, clearance_id, with_for_update=True)
    if clearance is None:
        raise NotFound(f"There is no clearance {clearance_id}.")
    return clearance


def _record(session: Session, caller: Caller, kind: str, about: Clearance, at: datetime) -> None:
    record = {
        "actor": caller.as_record(),
        "clearance": about.id,
        "organization": about.organization.slug,
        "model": about.model.name,
        "tier": about.tier.name,
        "starts_at": int(about.starts_at.timestamp() * 1000),
        "expires_at": int(about.expires_at.timestamp() * 1000),
        "purpose": about.purpose,
    }
    entries.append(
        session, kind=kind, at=at, record=record, organization_id=about.organization_id, subject=str(about.id)
    )
