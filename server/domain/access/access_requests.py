"""Access requests: a partner asks for a tier on a model; an admin turns the request into a clearance, or declines."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import ForeignKey, Index, Text, func, select
from sqlalchemy.orm import Mapped, Session, joinedload, mapped_column, relationship

from server import dates
from server.domain import acts, long_texts
from server.domain.access import clearances, renewal_reports
from server.domain.access.clearances import Clearance
from server.domain.callers import Caller
from server.domain.entry_kinds import EntryKind
from server.domain.errors import InvalidRequest, NotFound, NotPossible
from server.domain.identity.organizations import Organization
from server.domain.identity.people import Person
from server.domain.mail import notices
from server.domain.paging import Page, Slice, page
from server.domain.permissions import Permission
from server.domain.release import tiers
from server.domain.release.stages import Model, Stage, StageState
from server.domain.release.tiers import Tier
from server.domain.resources import Resources
from server.storage.database import Base, Key, Moment

LONGEST = timedelta(days=2 * 366)  # of what is asked for; renewing after that is a decision anew
ASKED_A_DAY_AT_MOST = 20  # by one organization: each is a mail to every admin


class AccessRequest(Base):
    """Open until it is decided or withdrawn."""

    __tablename__ = "access_requests"
    __table_args__ = (Index("ix_access_requests_organization_id_id", "organization_id", "id"),)
    id: Mapped[int] = mapped_column(Key, primary_key=True)
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"))
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id"))
    tier_id: Mapped[int] = mapped_column(ForeignKey("tiers.id"))
    purpose: Mapped[str] = mapped_column(Text)
    wanted_until: Mapped[datetime] = mapped_column(Moment)
    asked_by: Mapped[int] = mapped_column(ForeignKey("people.id"))
    asked_at: Mapped[datetime] = mapped_column(Moment)
    decided_by: Mapped[int | None] = mapped_column(ForeignKey("people.id"))
    decided_at: Mapped[datetime | None] = mapped_column(Moment)  # None: open, unless withdrawn
    clearance_id: Mapped[int | None] = mapped_column(ForeignKey("clearances.id"))  # what it became
    declined_because: Mapped[str | None] = mapped_column(Text)
    withdrawn_at: Mapped[datetime | None] = mapped_column(Moment)
    renews: Mapped[int | None] = mapped_column(ForeignKey("clearances.id"))  # the clearance that it is to outlast
    organization: Mapped[Organization] = relationship()
    model: Mapped[Model] = relationship()
    tier: Mapped[Tier] = relationship()
    clearance: Mapped[Clearance | None] = relationship(foreign_keys=[clearance_id])
    renewed: Mapped[Clearance | None] = relationship(foreign_keys=[renews])
    asker: Mapped[Person] = relationship(foreign_keys=[asked_by])
    decider: Mapped[Person | None] = relationship(foreign_keys=[decided_by])

    @property
    def wanted(self) -> str:
        """For people: `research on gpt-2`."""
        return f"{self.tier.name} on {self.model.name}"

    @property
    def state(self) -> str:
        """One word for people: open, withdrawn, declined or approved (then its clearance has a state of its own)."""
        if self.withdrawn_at is not None:
            return "withdrawn"
        if self.decided_at is None:
            return "open"
        return "declined" if self.clearance_id is None else "approved"


def create(
    use: Resources,
    caller: Caller,
    model: str,
    tier: str,
    *,
    purpose: str,
    wanted_until: datetime,
    replaces: int | None = None,
) -> AccessRequest:
    """Ask for access for one's organization. One request for a model can be open at a time.

    replaces: an open request of one's organization, which is withdrawn in the same moment.
    """
    caller.require(Permission.ACCESS_REQUEST_CREATE)
    purpose = long_texts.require(purpose, "what your organization needs access for")
    with use.database.transaction() as session:
        home = lock_home(session, caller)
        at = use.clock()
        family, rank = _model(session, model), tiers.get(session, tier)
        if replaces is not None:
            _withdraw(session, caller, _open(session, caller, replaces), at)
        return create_in(session, use, caller, home, family, rank, purpose=purpose, wanted_until=wanted_until, at=at)


def lock_home(session: Session, caller: Caller) -> Organization:
    """One's own organization, locked: two who ask at the same moment would otherwise both find no open request."""
    return session.get_one(
        Organization, caller.organization_id, with_for_update={"key_share": True}, populate_existing=True
    )


def create_in(
    session: Session,
    use: Resources,
    caller: Caller,
    home: Organization,
    model: Model,
    tier: Tier,
    *,
    purpose: str,
    wanted_until: datetime,
    at: datetime,
    renews: int | None = None,
) -> AccessRequest:
    """Ask inside the caller's transaction, in which `home` is locked. renews: the clearance that it is to outlast."""
    if not at < wanted_until <= at + LONGEST:
        raise InvalidRequest("The last day must be in the future and within two years.")
    _require_none_open(session, home, model)
    _require_useful(session, home, model, tier, wanted_until, at)
    if lacks := renewal_reports.refusal(session, home.id, model.id, tier):
        raise lacks
    _require_few(session, home, at)
    request = AccessRequest(
        organization=home, model=model, tier=tier, purpose=purpose, wanted_until=wanted_until,
        asked_by=caller.person_id, asked_at=at, renews=renews,
    )  # fmt: skip
    _send(session, use, caller, request, at)
    return request


def withdraw(use: Resources, caller: Caller, request_id: int) -> None:
    """Take an open request back."""
    caller.require(Permission.ACCESS_REQUEST_CREATE)
    with use.database.transaction() as session:
        request = _open(session, caller, request_id)
        _withdraw(session, caller, request, use.clock())


def for_stages(session: Session, names: Sequence[str]) -> tuple[str, str]:
    """Return the model, and the lowest tier that opens all of these stages. Raises NotFound, InvalidRequest."""
    query = select(Model.name, Stage.name, Tier.name, Tier.rank).join_from(Stage, Model).join(Tier)
    found = {
        f"{model}/{stage}": (model, rank, tier)
        for model, stage, tier, rank in session.execute(query.where(Stage.state == StageState.PARTNERS))
    }
    if missing := [name for name in names if name not in found]:
        raise NotFound(f"There is no stage {missing[0]} to request access to.")
    wanted = [found[name] for name in names]
    if len({model for model, _, _ in wanted}) != 1:
        raise InvalidRequest("Choose stages of one model. Send a request for each model.")
    model, _, tier = max(wanted, key=lambda one: one[1])
    return model, tier


def approve(
    use: Resources,
    caller: Caller,
    request_id: int,
    *,
    expires_at: datetime | None = None,
) -> AccessRequest:
    """Turn a request into a clearance, which this admin thereby proposes; until when it asks if not said otherwise.

    Where the tier takes two people, another admin puts that clearance into force with `clearances.approve`.
    """
    caller.require(Permission.ACCESS_REQUEST_DECIDE)
    with use.database.transaction() as session:
        request = _open(session, caller, request_id)
        at = use.clock()
        request.clearance = clearances.propose_in(
            session, use, caller, request.organization, request.model, request.tier,
            expires_at=expires_at or request.wanted_until, starts_at=None, purpose=request.purpose, at=at,
            asked_by=request.asked_by, extends=request.renews,
        )  # fmt: skip
        request.decided_by, request.decided_at = caller.person_id, at
        session.flush()
        _record(session, caller, EntryKind.ACCESS_REQUEST_APPROVE, request, at, clearance=request.clearance.id)
        return request


def decline(use: Resources, caller: Caller, request_id: int, because: str) -> None:
    """Say no to a request, and why: its organization reads the reason."""
    caller.require(Permission.ACCESS_REQUEST_DECIDE)
    because = long_texts.require(because, "a reason, which the organization can read")
    with use.database.transaction() as session:
        request = _open(session, caller, request_id)
        at = use.clock()
        request.decided_by, request.decided_at, request.declined_because = caller.person_id, at, because
        notices.request_declined(session, use, request.organization_id, request.asked_by, request.wanted, because, at)
        _record(session, caller, EntryKind.ACCESS_REQUEST_DECLINE, request, at, because=because)


def visible(session: Session, caller: Caller, part: Slice) -> Page[AccessRequest]:
    """What one's own organization has asked for, newest first; for staff all."""
    caller.require(Permission.ACCESS_REQUEST_READ)
    query = _WITH_NAMES
    if not caller.is_staff:
        query = query.where(AccessRequest.organization_id == caller.organization_id)
    return page(session, query, AccessRequest.id, part, newest_first=True)


def get(session: Session, caller: Caller, request_id: int) -> AccessRequest:
    """Raises NotFound, also for what another organization has asked for."""
    caller.require(Permission.ACCESS_REQUEST_READ)
    request = session.scalar(_WITH_NAMES.where(AccessRequest.id == request_id))
    return _seen_by(caller, request, request_id)


def of_clearance(session: Session, caller: Caller, clearance_id: int) -> AccessRequest | None:
    """The request that became this clearance; for staff, who read it before they approve."""
    caller.require(Permission.ACCESS_REQUEST_READ)
    if not caller.is_staff:
        return None
    return session.scalar(_WITH_NAMES.where(AccessRequest.clearance_id == clearance_id))


def open_for(session: Session, caller: Caller, model: str) -> AccessRequest | None:
    """The request of one's organization for a model that is not decided yet."""
    caller.require(Permission.ACCESS_REQUEST_READ)
    own = AccessRequest.organization_id == caller.organization_id
    return session.scalar(_WITH_NAMES.join(Model).where(own, Model.name == model, IS_OPEN))


IS_OPEN = AccessRequest.decided_at.is_(None) & AccessRequest.withdrawn_at.is_(None)
Index("ix_access_requests_open", AccessRequest.id, sqlite_where=IS_OPEN, postgresql_where=IS_OPEN)

_WITH_NAMES = select(AccessRequest).options(
    joinedload(AccessRequest.organization), joinedload(AccessRequest.model), joinedload(AccessRequest.tier),
    joinedload(AccessRequest.clearance), joinedload(AccessRequest.asker), joinedload(AccessRequest.decider),
    joinedload(AccessRequest.renewed),
)  # fmt: skip


def _open(session: Session, caller: Caller, request_id: int) -> AccessRequest:
    """The request, locked. Of two who decide at once, the second one reads here what the first one did."""
    found = session.get(AccessRequest, request_id, with_for_update=True, populate_existing=True)
    request = _seen_by(caller, found, request_id)
    if request.state == "withdrawn":
        raise NotPossible(f"Request {request_id} was withdrawn: there is nothing to decide.")
    if request.decider is not None:
        raise NotPossible(f"Request {request_id} was already {request.state} by {request.decider.name}.")
    return request


def _seen_by(caller: Caller, request: AccessRequest | None, request_id: int) -> AccessRequest:
    if request is None or not (caller.is_staff or request.organization_id == caller.organization_id):
        raise NotFound(f"There is no request {request_id}.")
    return request


def _require_none_open(session: Session, home: Organization, family: Model) -> None:
    asked = session.scalar(
        select(AccessRequest.id).where(
            AccessRequest.organization_id == home.id, AccessRequest.model_id == family.id, IS_OPEN
        )
    )
    if asked is not None:
        raise NotPossible(
            f"Request {asked} of your organization for {family.name} is still open.",
            next_step="Change that request, withdraw it, or wait for the decision.",
        )


def _require_useful(
    session: Session, home: Organization, family: Model, tier: Tier, until: datetime, at: datetime
) -> None:
    """A request opens something that is not open already, for as long as it asks."""
    is_known = (Stage.state == StageState.PARTNERS) | (Stage.state == StageState.PLANNED) & Stage.announced
    needs = session.scalar(
        select(func.max(Tier.rank)).join(Stage).where(Stage.model_id == family.id, is_known, Tier.rank <= tier.rank)
    )
    if needs is None:
        raise NotPossible(f"The tier {tier.name} opens no stage of {family.name}.", next_step="Choose another tier.")
    held = clearances.lasting(session, home, family, needs, until, at)
    if held is not None:
        raise NotPossible(
            f"Your organization already has {held.wanted} until {dates.last_day(held.expires_at)}.",
            next_step="There is nothing to request. If a stage is still closed, its page says what is missing.",
        )


def _send(session: Session, use: Resources, caller: Caller, request: AccessRequest, at: datetime) -> None:
    session.add(request)
    session.flush()
    notices.request_waits(
        session, use, request.id, request.organization.name, request.wanted, request.asker, request.purpose,
        request.wanted_until, at, is_renewal=request.renews is not None,
    )  # fmt: skip
    told: dict[str, int | str] = {"wanted_until": dates.milliseconds(request.wanted_until), "purpose": request.purpose}
    if request.renews is not None:
        told["renews"] = request.renews
    _record(session, caller, EntryKind.ACCESS_REQUEST_CREATE, request, at, **told)


def _withdraw(session: Session, caller: Caller, request: AccessRequest, at: datetime) -> None:
    request.withdrawn_at = at
    _record(session, caller, EntryKind.ACCESS_REQUEST_WITHDRAW, request, at)


def _require_few(session: Session, home: Organization, at: datetime) -> None:
    lately = AccessRequest.organization_id == home.id, AccessRequest.asked_at > at - timedelta(days=1)
    if (session.scalar(select(func.count()).where(*lately)) or 0) >= ASKED_A_DAY_AT_MOST:
        raise NotPossible(
            f"Your organization has sent {ASKED_A_DAY_AT_MOST} requests within 24 hours.",
            next_step="Try again tomorrow.",
        )


def _model(session: Session, name: str) -> Model:
    """A model that partners may know of: one that is planned as a whole looks like one that does not exist."""
    known = select(Stage.id).where(Stage.model_id == Model.id, (Stage.state != StageState.PLANNED) | Stage.announced)
    family = session.scalar(select(Model).where(Model.name == name, known.exists()))
    if family is None:
        raise NotFound(f"There is no model {name}.")
    return family


def _record(
    session: Session, caller: Caller, kind: EntryKind, about: AccessRequest, at: datetime, **more: int | str
) -> None:
    record = {
        "actor": caller.as_record(),
        "access_request": about.id,
        "organization": about.organization.slug,
        "model": about.model.name,
        "tier": about.tier.name,
        **more,
    }
    acts.append(session, kind, at, record, organization_id=about.organization_id)
