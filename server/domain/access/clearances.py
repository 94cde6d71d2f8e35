"""Clearances: an organization has a tier on a model, from a moment until another, unless revoked."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, ForeignKey, Index, Text, select, tuple_
from sqlalchemy.orm import Mapped, Session, joinedload, mapped_column, relationship

from server import dates
from server.domain import acts, long_texts
from server.domain.callers import Caller
from server.domain.entry_kinds import EntryKind
from server.domain.errors import InvalidRequest, NotFound, NotPossible
from server.domain.identity import organizations, second_person
from server.domain.identity.organizations import Organization
from server.domain.identity.people import Person
from server.domain.mail import notices
from server.domain.paging import Page, Slice, cut, page
from server.domain.permissions import Permission
from server.domain.release import tiers
from server.domain.release.stages import Model, Stage
from server.domain.release.tiers import Tier
from server.domain.resources import Resources
from server.storage.database import Base, Key, Moment


class Clearance(Base):
    """Proposed by one admin; in force once approved, by another one where the tier demands it."""

    __tablename__ = "clearances"
    __table_args__ = (
        Index("ix_clearances_organization_id_model_id", "organization_id", "model_id"),
        Index("ix_clearances_organization_id_id", "organization_id", "id"),
        Index("ix_clearances_model_id_id", "model_id", "id"),
        Index("ix_clearances_expires_at_id", "expires_at", "id"),
    )
    id: Mapped[int] = mapped_column(Key, primary_key=True)
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"))
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id"))
    tier_id: Mapped[int] = mapped_column(ForeignKey("tiers.id"))
    purpose: Mapped[str] = mapped_column(Text)
    starts_at: Mapped[datetime] = mapped_column(Moment)
    expires_at: Mapped[datetime] = mapped_column(Moment)  # the first moment at which it no longer holds
    proposed_by: Mapped[int] = mapped_column(ForeignKey("people.id"))
    proposed_at: Mapped[datetime] = mapped_column(Moment)
    approved_by: Mapped[int | None] = mapped_column(ForeignKey("people.id"))
    approved_at: Mapped[datetime | None] = mapped_column(Moment)
    revoked_by: Mapped[int | None] = mapped_column(ForeignKey("people.id"))
    revoked_at: Mapped[datetime | None] = mapped_column(Moment)
    revoked_because: Mapped[str | None] = mapped_column(Text)
    asked_by: Mapped[int | None] = mapped_column(Key)  # the person of the organization who asked; None: given unasked
    organization: Mapped[Organization] = relationship()
    model: Mapped[Model] = relationship()
    tier: Mapped[Tier] = relationship()
    proposer: Mapped[Person] = relationship(foreign_keys=[proposed_by])
    approver: Mapped[Person | None] = relationship(foreign_keys=[approved_by])
    revoker: Mapped[Person | None] = relationship(foreign_keys=[revoked_by])

    @property
    def wanted(self) -> str:
        """For people: `research on gpt-2`."""
        return f"{self.tier.name} on {self.model.name}"

    @property
    def granted_at(self) -> datetime:
        """Since when an organization has it: its start, or an approval that came later."""
        return max(self.starts_at, self.approved_at or self.starts_at)

    def state_at(self, moment: datetime) -> str:
        """One word for people: proposed, revoked, expired, upcoming or active."""
        if self.revoked_at is not None:
            return "revoked"
        if moment >= self.expires_at:
            return "expired"
        if self.approved_at is None:
            return "proposed"
        return "upcoming" if moment < self.starts_at else "active"


IS_PROPOSED = Clearance.approved_at.is_(None) & Clearance.revoked_at.is_(None)
Index("ix_clearances_proposed", Clearance.id, sqlite_where=IS_PROPOSED, postgresql_where=IS_PROPOSED)
_BY_DAY = Clearance.expires_at, Clearance.id
Index("ix_clearances_proposed_until", *_BY_DAY, sqlite_where=IS_PROPOSED, postgresql_where=IS_PROPOSED)
IN_FORCE = Clearance.approved_at.is_not(None) & Clearance.revoked_at.is_(None)
Index("ix_clearances_ending", *_BY_DAY, sqlite_where=IN_FORCE, postgresql_where=IN_FORCE)
_WHOSE = Clearance.model_id, Clearance.organization_id, Clearance.tier_id, Clearance.starts_at, Clearance.expires_at
Index("ix_clearances_of_model", *_WHOSE, sqlite_where=IN_FORCE, postgresql_where=IN_FORCE)  # see cleared.py
STATES = ("proposed", "upcoming", "active", "expired", "revoked")


@dataclass(frozen=True, slots=True)
class ClearanceFilter:
    """Which clearances; None: whatever it is. state: one of STATES."""

    state: str | None = None
    organization_id: int | None = None
    model_id: int | None = None


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
    with use.database.transaction() as session:
        partner = organizations.get(session, organization, lock=True)  # the same, sent twice at once, is proposed once
        at = use.clock()
        family = session.scalar(select(Model).where(Model.name == model))
        if family is None:
            raise NotFound(f"There is no model {model}.")
        return propose_in(
            session, use, caller, partner, family, tiers.get(session, tier),
            expires_at=expires_at, starts_at=starts_at, purpose=purpose, at=at,
        )  # fmt: skip


def propose_in(
    session: Session,
    use: Resources,
    caller: Caller,
    organization: Organization,
    model: Model,
    tier: Tier,
    *,
    expires_at: datetime,
    starts_at: datetime | None,
    purpose: str,
    at: datetime,
    asked_by: int | None = None,
    extends: int | None = None,
) -> Clearance:
    """Propose inside the caller's transaction.

    asked_by: who of the organization asked for it. extends: the clearance that it is to outlast.
    """
    caller.require(Permission.CLEARANCE_PROPOSE)
    purpose = long_texts.require(purpose, "what the organization needs it for")
    starts_at = starts_at or at
    _require_times(starts_at, expires_at, at)
    _require_new(session, organization, model, tier, expires_at)
    alone = not tiers.needs_second_person(session, tier, use.settings.second_person_tier)
    clearance = Clearance(
        organization=organization, model=model, tier=tier, purpose=purpose, starts_at=starts_at,
        expires_at=expires_at, proposed_by=caller.person_id, proposed_at=at, asked_by=asked_by,
        approved_by=caller.person_id if alone else None, approved_at=at if alone else None,
    )  # fmt: skip
    session.add(clearance)
    session.flush()
    _tell_proposed(session, use, clearance, str(caller.person), at)
    told = {} if extends is None else {"extends": extends}
    _record(session, caller, EntryKind.CLEARANCE_PROPOSE, clearance, at, **told)
    if alone:
        _record(session, caller, EntryKind.CLEARANCE_APPROVE, clearance, at)
    return clearance


def extend(use: Resources, caller: Caller, clearance_id: int, expires_at: datetime) -> Clearance:
    """Propose the same for longer: a clearance of its own, from now on, under the rules of any other.

    The old one stays until its end, so nothing that was decided is changed.
    """
    caller.require(Permission.CLEARANCE_PROPOSE)
    with use.database.transaction() as session:
        old = _locked(session, clearance_id)
        at = use.clock()
        if (state := old.state_at(at)) in {"proposed", "revoked"}:
            raise NotPossible(f"Clearance {clearance_id} is {state}: propose a new one instead.")
        if expires_at <= old.expires_at:
            raise InvalidRequest("The new end date must be later than the current one.")
        return propose_in(
            session, use, caller, old.organization, old.model, old.tier, expires_at=expires_at,
            starts_at=max(at, old.starts_at), purpose=old.purpose, at=at, asked_by=old.asked_by, extends=old.id,
        )  # fmt: skip


def approve(use: Resources, caller: Caller, clearance_id: int) -> Clearance:
    """Put a proposed clearance into force. Never by the one who proposed it."""
    caller.require(Permission.CLEARANCE_APPROVE)
    with use.database.transaction() as session:
        clearance = _locked(session, clearance_id)
        at = use.clock()
        if clearance.state_at(at) != "proposed":
            raise NotPossible(
                f"Clearance {clearance_id} is {clearance.state_at(at)}: only a proposed clearance can be approved."
            )
        second_person.require(session, caller, clearance.proposed_by, Permission.CLEARANCE_PROPOSE)
        clearance.approved_by, clearance.approved_at = caller.person_id, at
        _tell_cleared(session, use, clearance, at)
        _record(session, caller, EntryKind.CLEARANCE_APPROVE, clearance, at)
        return clearance


def revoke(
    use: Resources, caller: Caller, clearance_id: int, because: str | None = None, *, with_others: bool = False
) -> Sequence[Clearance]:
    """End a clearance at once; its organization reads why. Returns those under which its access goes on.

    with_others: end those as well, in the same moment.
    """
    caller.require(Permission.CLEARANCE_REVOKE)
    if because is not None:
        because = long_texts.require(because, "a reason, which the organization can read")
    with use.database.transaction() as session:
        clearance = _locked(session, clearance_id)
        if clearance.revoked_at is not None:
            raise NotPossible(f"Clearance {clearance_id} is already revoked.")
        at = use.clock()
        others = alongside(session, clearance, at, lock=with_others)
        for one in (clearance, *others) if with_others else (clearance,):
            before = one.state_at(at)
            one.revoked_by, one.revoked_at, one.revoked_because = caller.person_id, at, because
            _tell_revoked(session, use, one, before, at)
            told = {} if because is None else {"because": because}
            _record(session, caller, EntryKind.CLEARANCE_REVOKE, one, at, **told)
        return [] if with_others else others


def alongside(session: Session, clearance: Clearance, at: datetime, *, lock: bool = False) -> Sequence[Clearance]:
    """The other clearances of its organization on its model that are approved and have not ended, oldest first."""
    query = _WITH_NAMES.where(
        Clearance.organization_id == clearance.organization_id, Clearance.model_id == clearance.model_id,
        Clearance.id != clearance.id, Clearance.approved_at.is_not(None), Clearance.revoked_at.is_(None),
        Clearance.expires_at > at,
    ).order_by(Clearance.id)  # fmt: skip
    return session.scalars(query.with_for_update(of=Clearance) if lock else query).all()


def in_words(others: Sequence[Clearance]) -> str:
    """`clearance 10 (research on gpt-2, until 3 May 2027)`, and so on."""
    return ", ".join(f"clearance {one.id} ({one.wanted}, until {dates.last_day(one.expires_at)})" for one in others)


def visible(session: Session, caller: Caller, part: Slice) -> Page[Clearance]:
    """One's own organization's clearances, newest first; for staff all."""
    if not caller.is_staff:
        return own(session, caller, part)
    return page(session, _WITH_NAMES, Clearance.id, part, newest_first=True)


def own(session: Session, caller: Caller, part: Slice) -> Page[Clearance]:
    """The clearances of the caller's own organization, newest first."""
    query = _WITH_NAMES.where(Clearance.organization_id == caller.organization_id)
    return page(session, query, Clearance.id, part, newest_first=True)


def listed(
    session: Session, caller: Caller, wanted: ClearanceFilter, part: Slice, at: datetime, *, by_last_day: bool = False
) -> Page[Clearance]:
    """Clearances, newest first or by their last day; for staff alone."""
    caller.require(Permission.CLEARANCE_READ)
    query = _LISTED
    if not caller.is_staff:
        query = query.where(Clearance.organization_id == caller.organization_id)
    if wanted.organization_id is not None:
        query = query.where(Clearance.organization_id == wanted.organization_id)
    if wanted.model_id is not None:
        query = query.where(Clearance.model_id == wanted.model_id)
    if wanted.state is not None:
        query = query.where(*_in_state(wanted.state, at))
    if not by_last_day:
        return page(session, query, Clearance.id, part, newest_first=True)
    if part.after is not None:
        last = select(Clearance.expires_at).where(Clearance.id == part.after).scalar_subquery()
        query = query.where(tuple_(Clearance.expires_at, Clearance.id) > tuple_(last, part.after))
    return cut(session.scalars(query.order_by(*_BY_DAY).limit(part.limit + 1)).all(), part)


def opening(session: Session, caller: Caller, stage: Stage, part: Slice, at: datetime) -> Page[Clearance]:
    """The clearances that open a stage at a moment, newest first: one's own organization's, for staff all."""
    caller.require(Permission.CLEARANCE_READ)
    query = _LISTED.where(*caller.within(Clearance.organization_id)).join(Tier, Tier.id == Clearance.tier_id)
    query = query.where(Clearance.model_id == stage.model_id, Tier.rank >= stage.tier.rank, *_in_state("active", at))
    return page(session, query, Clearance.id, part, newest_first=True)


def lasting(
    session: Session, organization: Organization, model: Model, rank: int, until: datetime, at: datetime
) -> Clearance | None:
    """An approved clearance of at least this rank that holds now, or soon, and until then."""
    query = _WITH_NAMES.join(Tier, Tier.id == Clearance.tier_id).where(
        Clearance.organization_id == organization.id, Clearance.model_id == model.id, Tier.rank >= rank,
        Clearance.approved_at.is_not(None), Clearance.revoked_at.is_(None), Clearance.expires_at >= until,
        Clearance.expires_at > at,
    )  # fmt: skip
    return session.scalars(query.order_by(Clearance.expires_at.desc())).first()


def get(session: Session, caller: Caller, clearance_id: int) -> Clearance:
    """One that the caller may know of, with those who decided it. Raises NotFound."""
    query = _WITH_PEOPLE.where(Clearance.id == clearance_id)
    if not caller.is_staff:
        query = query.where(Clearance.organization_id == caller.organization_id)
    clearance = session.scalar(query)
    if clearance is None:
        raise NotFound(f"There is no clearance {clearance_id}.")
    return clearance


_WITH_NAMES = select(Clearance).options(
    joinedload(Clearance.organization), joinedload(Clearance.model), joinedload(Clearance.tier)
)
_WITH_PEOPLE = _WITH_NAMES.options(
    joinedload(Clearance.proposer), joinedload(Clearance.approver), joinedload(Clearance.revoker)
)

_NAMED = joinedload(Clearance.organization).load_only(Organization.slug, Organization.name)
_LISTED = _WITH_NAMES.options(_NAMED, joinedload(Clearance.proposer).load_only(Person.name))


def _in_state(state: str, at: datetime) -> list[ColumnElement[bool]]:
    """What `state_at` says, for the database."""
    standing, approved = Clearance.revoked_at.is_(None), Clearance.approved_at.is_not(None)
    current = Clearance.expires_at > at
    conditions: dict[str, list[ColumnElement[bool]]] = {
        "revoked": [Clearance.revoked_at.is_not(None)],
        "expired": [standing, Clearance.expires_at <= at],
        "proposed": [standing, current, Clearance.approved_at.is_(None)],
        "upcoming": [standing, current, approved, Clearance.starts_at > at],
        "active": [standing, current, approved, Clearance.starts_at <= at],
    }
    return conditions[state]


def _require_times(starts_at: datetime, expires_at: datetime, at: datetime) -> None:
    if starts_at < at.replace(hour=0, minute=0, second=0, microsecond=0):
        raise InvalidRequest(f"A clearance cannot start on {dates.day(starts_at)}: that is before today.")
    if expires_at <= max(starts_at, at):
        raise InvalidRequest("A clearance must end after it starts, and in the future.")


def _require_new(session: Session, organization: Organization, model: Model, tier: Tier, expires_at: datetime) -> None:
    """Two that give the same for as long would be revoked one by one; and a form that is sent twice proposes once."""
    same = session.scalar(
        select(Clearance.id).where(
            Clearance.organization_id == organization.id,
            Clearance.model_id == model.id,
            Clearance.tier_id == tier.id,
            Clearance.expires_at == expires_at,
            Clearance.revoked_at.is_(None),
        )
    )
    if same is not None:
        raise NotPossible(f"Clearance {same} already gives this tier on this model until then.")


def _locked(session: Session, clearance_id: int) -> Clearance:
    clearance = session.get(Clearance, clearance_id, with_for_update=True)
    if clearance is None:
        raise NotFound(f"There is no clearance {clearance_id}.")
    return clearance


def _tell_cleared(session: Session, use: Resources, about: Clearance, at: datetime) -> None:
    notices.cleared(
        session, use, about.organization_id, about.asked_by, about.wanted, about.starts_at, about.expires_at, at
    )


def _tell_proposed(session: Session, use: Resources, about: Clearance, proposer: str, at: datetime) -> None:
    """Tell the organization, if that was all it needed; else the admins of whom one must approve."""
    if about.approved_at is not None:
        _tell_cleared(session, use, about, at)
    else:
        notices.clearance_waits(session, use, about.id, about.organization.name, about.wanted, proposer, at)


def _tell_revoked(session: Session, use: Resources, about: Clearance, before: str, at: datetime) -> None:
    """Tell the organization, if it loses something, or if the answer to what it asked for is no."""
    if before in {"active", "upcoming"}:
        notices.revoked(session, use, about.organization_id, about.asked_by, about.wanted, about.revoked_because, at)
    elif before == "proposed" and about.asked_by is not None:
        notices.not_cleared(
            session, use, about.organization_id, about.asked_by, about.wanted, about.revoked_because, at
        )


def _record(session: Session, caller: Caller, kind: EntryKind, about: Clearance, at: datetime, **more: Any) -> None:
    record = {
        "actor": caller.as_record(),
        "clearance": about.id,
        "organization": about.organization.slug,
        "model": about.model.name,
        "tier": about.tier.name,
        "starts_at": dates.milliseconds(about.starts_at),
        "expires_at": dates.milliseconds(about.expires_at),
        "purpose": about.purpose,
        **more,
    }
    acts.append(session, kind, at, record, organization_id=about.organization_id)
