"""Rehearsals of a clearance: what an organization could download with it, told before anybody gives it.

Nothing is decided here a second time: the access rule is asked twice, on the facts as they are, and on the same facts
with one clearance more.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.domain.access import counting_signatures, rule
from server.domain.access import facts as gathering
from server.domain.access.facts import ClearanceFacts, Facts, StageFacts
from server.domain.callers import Caller
from server.domain.errors import (
    AgreementOutdated,
    AgreementUnsigned,
    ClearanceExpired,
    InvalidRequest,
    NotCleared,
    NotFound,
    OrganizationSuspended,
    Refused,
    StageHeld,
    StageWithdrawn,
)
from server.domain.identity import organizations
from server.domain.identity.authentication import Standing
from server.domain.identity.organizations import Organization
from server.domain.identity.people import Person
from server.domain.permissions import POLICY, Permission, Role
from server.domain.release import tiers
from server.domain.release.stages import Model, StageState
from server.domain.resources import Resources

_MAY_DOWNLOAD = POLICY[Permission.DOWNLOAD_CREATE].roles


@dataclass(frozen=True, slots=True)
class Outcome:
    """One stage, now and with the clearance. people: how many could download it then.

    until: the end of that access, as far as it is known; None where it has none. once_released: of a planned stage,
    what would still refuse when it is released to partners; None where nothing would.
    """

    stage: StageFacts
    now: Refused | None
    then: Refused | None
    people: int
    until: datetime | None
    once_released: Refused | None = None

    @property
    def full_name(self) -> str:
        return f"{self.stage.model}/{self.stage.name}"

    @property
    def opens(self) -> bool:
        """Whether it is the clearance that opens it."""
        return self.now is not None and self.then is None

    @property
    def in_words(self) -> str:
        """For the lab: what becomes of the stage, and why."""
        if self.then is None:
            return "opens" if self.opens else "is open already"
        if self.stage.state != StageState.PLANNED:
            return f"stays closed: {_why(self.then, self.stage)}"
        if self.once_released is None:
            return "stays closed until it is released"
        return f"stays closed until it is released, and then because {_why(self.once_released, self.stage)}"


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What a clearance would change: every stage of its model, smallest first. people: who are active, and may."""

    organization: Organization
    model: str
    tier: str
    starts_at: datetime
    expires_at: datetime
    people: int
    outcomes: list[Outcome]


def rehearse(
    session: Session,
    use: Resources,
    caller: Caller,
    organization: str,
    model: str,
    tier: str,
    *,
    expires_at: datetime,
    starts_at: datetime | None = None,
) -> Rehearsal:
    """Ask the rule what would be if a clearance like this were in force. Raises NotFound, InvalidRequest."""
    caller.require(Permission.LOG_AUDIT)
    at = use.clock()
    starts_at = max(at, starts_at or at)
    if expires_at <= starts_at:
        raise InvalidRequest("A clearance must end after it starts, and in the future.")
    home, rank = organizations.get(session, organization), tiers.get(session, tier)
    family = session.scalar(select(Model).where(Model.name == model))
    if family is None:
        raise NotFound(f"There is no model {model}.")
    given = ClearanceFacts(0, family.id, starts_at, expires_at, at, None, rank.rank, rank.name, at)
    people = _people(session, home)
    somebody = _somebody(home)
    stages = gathering.stages_of(session, family.id)
    known = gathering.gather_all(session, somebody[0], stages)
    outcomes = [outcome(_as(facts, somebody), given, people, at) for facts in known]
    return Rehearsal(home, model, rank.name, starts_at, expires_at, len(people), outcomes)


def outcome(facts: Facts, given: ClearanceFacts, people: Sequence[tuple[Caller, Standing]], at: datetime) -> Outcome:
    """Pure: the facts of somebody of the organization, a clearance more, and those who would use it."""
    stage = facts.stage
    if stage is None:
        raise NotFound
    supposed = replace(facts, clearances=(*facts.clearances, given))
    moment = max(at, given.starts_at)
    then = rule.refusal(supposed, moment)
    released = None
    if stage.state == StageState.PLANNED:
        released = rule.refusal(replace(supposed, stage=stage._replace(state=StageState.PARTNERS)), moment)
    return Outcome(
        stage=stage,
        now=rule.refusal(facts, at),
        then=then,
        people=sum(rule.refusal(_as(supposed, person), moment) is None for person in people),
        until=_until(supposed, stage, moment) if then is None else None,
        once_released=released,
    )


def _why(refused: Refused, stage: StageFacts) -> str:
    reasons: dict[type[Refused], str] = {
        OrganizationSuspended: "the organization is suspended",
        StageHeld: "it is on hold",
        StageWithdrawn: "it has been withdrawn",
        NotCleared: f"it requires the tier {stage.tier}",
        ClearanceExpired: f"it requires the tier {stage.tier}",
        AgreementUnsigned: f"the organization has not signed {stage.agreement}",
        AgreementOutdated: f"the organization has not signed the current version of {stage.agreement}",
    }
    return reasons.get(type(refused), refused.detail)


def _until(facts: Facts, stage: StageFacts, at: datetime) -> datetime | None:
    """When the access ends by itself: with the clearance, or with the time to sign an agreement's new version."""
    clearance = None if stage.state == StageState.PUBLIC else rule.clearance_for(facts, stage, at)
    if clearance is None:
        return None
    agreement = facts.agreement
    if agreement is None or agreement.resign_until is None:
        return clearance.expires_at
    signature = counting_signatures.counting(agreement, facts.signatures, at)
    ends_sooner = counting_signatures.is_previous(agreement, signature)
    return min(clearance.expires_at, agreement.resign_until) if ends_sooner else clearance.expires_at


def _as(facts: Facts, person: tuple[Caller, Standing]) -> Facts:
    return replace(facts, caller=person[0], standing=person[1])


def _somebody(home: Organization) -> tuple[Caller, Standing]:
    """An active person of the organization, whether it has one or not: what refuses them, refuses all."""
    role = Role.ADMIN if home.is_lab else Role.MEMBER
    return _person(home, 0, role, None)


def _people(session: Session, home: Organization) -> list[tuple[Caller, Standing]]:
    """Those whose role lets them download; who is disabled is refused by the rule."""
    query = select(Person.id, Person.role, Person.disabled_at).where(Person.organization_id == home.id)
    rows = session.execute(query.where(Person.role.in_(_MAY_DOWNLOAD), Person.disabled_at.is_(None)))
    return [_person(home, row.id, Role(row.role), row.disabled_at) for row in rows]


def _person(home: Organization, person_id: int, role: Role, disabled_at: datetime | None) -> tuple[Caller, Standing]:
    caller = Caller(via="session", organization_id=home.id, organization=home.slug, person_id=person_id, role=role)
    return caller, Standing(person_id, disabled_at, home.suspended_at, None, None, None, None, role)
