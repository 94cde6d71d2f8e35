"""The release ladder as one caller sees it: each model's stages in order, what is open, why not, and the one next step.

Every door shows a stage as the `Step` that is made here. It decides nothing: the refusals are those of the rule; here
stands what would end them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy.orm import Session

from server.domain.access import checklists, counting_signatures, rule
from server.domain.access.checklists import Asked, Item, UnderWay
from server.domain.access.facts import Facts, StageFacts, gather_all
from server.domain.callers import Caller
from server.domain.errors import AgreementOutdated, AgreementUnsigned, ClearanceExpired, NotCleared, Refused
from server.domain.paging import Page, Slice
from server.domain.permissions import Role
from server.domain.release import plans
from server.domain.release.plans import Plan
from server.domain.release.stages import StageState
from server.domain.resources import Resources

ENDS_SOON = timedelta(days=30)
STAGES_AT_MOST = 1000  # on one page
CAN_BE_ENDED = (NotCleared, ClearanceExpired, AgreementUnsigned, AgreementOutdated)  # by the partner and the lab


class NextStep(StrEnum):
    """What would end a refusal."""

    REQUEST = "request"  # access, for the first time
    REQUEST_AGAIN = "request again"
    AWAIT_DECISION = "await decision"  # a request is open
    SIGN = "sign"
    SIGN_AGAIN = "sign again"  # a new version
    ASK_OWNER = "ask owner"  # only an owner signs
    AWAIT_COUNTERSIGNATURE = "await countersignature"


@dataclass(frozen=True, slots=True)
class ShownStage:
    """What a stage is, as far as the caller may know: of a plan, all but the lab is told name, state and plan alone.

    held: by a hold on it, its model or everything. main_checkpoint_id: of the newest one.
    """

    id: int
    model: str
    name: str
    state: StageState
    plan: Plan
    announced: bool
    ordinal: int | None = None
    parameters: int | None = None
    state_since: datetime | None = None
    held: bool | None = None
    tier: str | None = None
    agreement: str | None = None
    main_checkpoint_id: int | None = None

    @property
    def full_name(self) -> str:
        return f"{self.model}/{self.name}"


@dataclass(frozen=True, slots=True)
class SignAgain:
    """Access that rests on a signature of the version before the current one, which counts until a moment.

    is_waiting: the new version is signed, and the lab has not countersigned.
    """

    agreement: str
    number: int
    until: datetime
    is_waiting: bool


@dataclass(frozen=True, slots=True)
class Step:
    """One stage as the caller sees it. shown: whether more than name, state and plan is theirs to know.

    refused: why it is not open; None for yes. version: of the agreement that must be signed. ends_at: of the access.
    checklist: all that is to be done until it opens, where that can be done. declined: the newest request, if the lab
    said no to it. clearance_id: what the access rests on. renewal_id: an open request that would let it last longer.
    """

    stage: ShownStage
    shown: bool
    refused: Refused | None
    next_step: NextStep | None
    version: int | None
    request_id: int | None
    ends_at: datetime | None
    checklist: Sequence[Item] = ()
    declined: Asked | None = None
    clearance_id: int | None = None
    renewal_id: int | None = None
    sign_again: SignAgain | None = None

    @property
    def full_name(self) -> str:
        return self.stage.full_name

    def ends_soon(self, at: datetime) -> bool:
        return self.ends_at is not None and self.ends_at - at < ENDS_SOON


@dataclass(frozen=True, slots=True)
class Ladder:
    """One model and its steps, smallest first."""

    model: str
    title: str
    steps: list[Step]


def ladders(session: Session, use: Resources, caller: Caller, *, at_most: int = STAGES_AT_MOST) -> list[Ladder]:
    """Every model that the caller may know of. Raises AuthenticationRequired where nothing is public."""
    found = rule.visible_stages(session, use, caller, Slice(at_most)).items
    by_model: dict[str, list[Step]] = {}
    for step in _steps(session, use, caller, sorted(found, key=lambda stage: (stage.model_id, stage.ordinal))):
        by_model.setdefault(step.stage.model, []).append(step)
    titles = {stage.model: stage.title for stage in found}
    return [Ladder(model, titles[model], steps) for model, steps in by_model.items()]


def listed(session: Session, use: Resources, caller: Caller, part: Slice) -> Page[Step]:
    """The same stages in the order in which they were added, in parts."""
    found = rule.visible_stages(session, use, caller, part)
    return Page(_steps(session, use, caller, found.items), found.next_after)


def step(session: Session, use: Resources, caller: Caller, stage: str) -> Step:
    """One stage, by its name or an alias. Raises NotFound, AuthenticationRequired."""
    return _steps(session, use, caller, [rule.require_known(session, use, caller, stage)])[0]


def requestable(session: Session, use: Resources, caller: Caller, at: datetime) -> list[Step]:
    """The stages that it makes sense to ask for: what is not open for want of a clearance, or not for long."""
    asking = {NextStep.REQUEST, NextStep.REQUEST_AGAIN}
    found = [step for model in ladders(session, use, caller) for step in model.steps]
    return [step for step in found if step.next_step in asking or step.request_id is not None or step.ends_soon(at)]


def _steps(session: Session, use: Resources, caller: Caller, found: Sequence[StageFacts]) -> list[Step]:
    begun = checklists.under_way(session, use, caller)
    all_facts = gather_all(session, caller, found)
    at = use.clock()
    return [_step(use, stage, facts, begun, at) for stage, facts in zip(found, all_facts, strict=True)]


def _step(use: Resources, stage: StageFacts, facts: Facts, begun: UnderWay, at: datetime) -> Step:
    refused = rule.refusal_now(use, facts, at)
    can_act = isinstance(refused, CAN_BE_ENDED) and not facts.caller.is_staff
    next_step = _next_step(stage, facts, begun, refused, at) if can_act and refused is not None else None
    asked = begun.asked(stage) if next_step is NextStep.AWAIT_DECISION else None
    is_missing = next_step in {NextStep.REQUEST, NextStep.REQUEST_AGAIN}
    opens = rule.clearance_for(facts, stage, at) if refused is None else None
    shown = facts.caller.is_staff or stage.state != StageState.PLANNED
    return Step(
        stage=_shown(stage) if shown else _outline(stage),
        shown=shown,
        refused=refused,
        next_step=next_step,
        version=None if facts.agreement is None else facts.agreement.number,
        request_id=None if asked is None else asked.id,
        ends_at=None if opens is None else opens.expires_at,
        checklist=checklists.of(stage, facts, begun, at) if can_act else (),
        declined=begun.declined(stage) if is_missing else None,
        clearance_id=None if opens is None else opens.id,
        renewal_id=None if opens is None or (asks := begun.asked(stage)) is None else asks.id,
        sign_again=_sign_again(stage, facts, begun, at) if opens is not None else None,
    )


def _sign_again(stage: StageFacts, facts: Facts, begun: UnderWay, at: datetime) -> SignAgain | None:
    agreement = facts.agreement
    if agreement is None or agreement.resign_until is None or facts.caller.is_staff:
        return None
    if not counting_signatures.is_previous(agreement, counting_signatures.counting(agreement, facts.signatures, at)):
        return None
    is_waiting = agreement.current_version_id in begun.signed
    return SignAgain(stage.agreement or "", agreement.number, agreement.resign_until, is_waiting)


def _next_step(stage: StageFacts, facts: Facts, begun: UnderWay, refused: Refused, at: datetime) -> NextStep | None:
    if isinstance(refused, NotCleared | ClearanceExpired):
        if begun.asked(stage) or checklists.proposed_for(facts, stage, at):
            return NextStep.AWAIT_DECISION
        return NextStep.REQUEST if isinstance(refused, NotCleared) else NextStep.REQUEST_AGAIN
    if isinstance(refused, AgreementUnsigned | AgreementOutdated) and facts.agreement is not None:
        if facts.agreement.current_version_id in begun.signed:
            return NextStep.AWAIT_COUNTERSIGNATURE
        if facts.caller.role is not Role.OWNER:
            return NextStep.ASK_OWNER
        return NextStep.SIGN_AGAIN if isinstance(refused, AgreementOutdated) else NextStep.SIGN
    return None


def _outline(stage: StageFacts) -> ShownStage:
    plan = plans.of(stage.planned_from, stage.planned_until, stage.note)
    return ShownStage(stage.id, stage.model, stage.name, stage.state, plan, stage.announced)


def _shown(stage: StageFacts) -> ShownStage:
    return replace(
        _outline(stage), ordinal=stage.ordinal, parameters=stage.parameters, state_since=stage.state_since,
        held=rule.is_held(stage), tier=stage.tier, agreement=stage.agreement,
        main_checkpoint_id=stage.main_checkpoint_id,
    )  # fmt: skip
