"""Editing a stage: what the lab says of it at any time, and where it stands as long as nobody has it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

from sqlalchemy.orm import Session

from server.domain import acts
from server.domain.callers import Caller
from server.domain.entry_kinds import EntryKind
from server.domain.errors import NotPossible
from server.domain.identity import proposals
from server.domain.identity.proposals import Proposal, ProposalKind
from server.domain.mail import notices
from server.domain.permissions import Permission
from server.domain.release import agreements, plans, stages, tiers
from server.domain.release.plans import Window
from server.domain.release.stages import Stage, StageState
from server.domain.resources import Resources

# They decide who can download a stage, and past decisions rest on them.
FIXED_ONCE_RELEASED = frozenset({"ordinal", "tier", "agreement"})


class Changes(TypedDict, total=False):
    """What is to be different; what is not named stays as it is."""

    ordinal: int
    tier: str
    agreement: str | None
    announced: bool
    planned: Window | None
    note: str | None
    reports_at_least: int


@dataclass(frozen=True, slots=True)
class Edited:
    """A stage as it is now. waits: the proposal of what takes another admin, and is not different yet."""

    stage: Stage
    waits: Proposal | None = None


def edit(use: Resources, caller: Caller, full_name: str, **changes: Unpack[Changes]) -> Edited:
    """Change what is said of a stage, and while it is planned, its place, tier and agreement. One entry, if anything is
    different at all. To wait for fewer reports is only proposed. Raises NotFound, NotPossible, InvalidRequest.
    """
    caller.require(Permission.STAGE_MANAGE)
    stages.require_ordinal(changes.get("ordinal"))
    stages.require_reports(changes.get("reports_at_least"))
    if "note" in changes:
        changes["note"] = plans.require_note(changes["note"])
    with use.database.transaction() as session:
        stage = _locked(session, full_name)
        before = _told(stage)
        after = {**before, **changes}
        after["planned"] = plans.as_text(changes["planned"]) if "planned" in changes else before["planned"]
        different = {name for name in before if before[name] != after[name]}
        lowered = after["reports_at_least"] < before["reports_at_least"]
        different -= {"reports_at_least"} if lowered else set()
        if different:
            _require_possible(stage, different)
            _apply(session, stage, {name: changes[name] for name in different})  # type: ignore[literal-required]
            _record(session, use, caller, stage, before, {name: after[name] for name in different})
        return Edited(stage, _propose(session, use, caller, stage, after["reports_at_least"]) if lowered else None)


def carry_out(session: Session, use: Resources, caller: Caller, proposal: Proposal) -> None:
    """Let a stage wait for fewer reports, as was proposed and approved."""
    stage = _locked(session, proposal.subject)
    before = _told(stage)
    _apply(session, stage, proposal.says)
    _record(session, use, caller, stage, before, proposal.says, proposal=proposal.id)


def _locked(session: Session, full_name: str) -> Stage:
    """The stage, and before it its model, as whoever adds one and whoever carries out a decision: nobody waits in a
    circle.
    """
    stages.get_model(session, stages.split(full_name)[0], lock=True)
    return stages.get(session, full_name, lock=True)


def _propose(session: Session, use: Resources, caller: Caller, stage: Stage, reports_at_least: int) -> Proposal:
    at, says = use.clock(), {"reports_at_least": reports_at_least}
    proposal = proposals.create(session, caller, ProposalKind.REPORTS, stage.full_name, says, at)
    notices.proposal_waits(session, use, proposal, at)
    return proposal


def _record(
    session: Session, use: Resources, caller: Caller, stage: Stage, before: Mapping[str, Any], after: Mapping[str, Any],
    **more: int,
) -> None:  # fmt: skip
    record = {
        "actor": caller.as_record(), "stage": stage.full_name, "before": {name: before[name] for name in after},
        "after": after, **more,
    }  # fmt: skip
    acts.append(session, EntryKind.STAGE_EDIT, use.clock(), record)


def _told(stage: Stage) -> dict[str, Any]:
    """What can be changed, as entries say it."""
    return {
        "ordinal": stage.ordinal, "tier": stage.tier.name, "agreement": stage.agreement and stage.agreement.name,
        "announced": stage.announced, "planned": plans.as_text(stage.plan.window), "note": stage.note,
        "reports_at_least": stage.reports_at_least,
    }  # fmt: skip


def _require_possible(stage: Stage, different: set[str]) -> None:
    state = StageState(stage.state)
    if state is not StageState.PLANNED and (fixed := sorted(different & FIXED_ONCE_RELEASED)):
        raise NotPossible(
            f"{stage.full_name} is {state}, so its {' and '.join(fixed)} cannot be changed: they decide who can "
            "download it, and the decision to release it rested on them. Publish a new version of its agreement, or "
            "add another stage."
        )


def _apply(session: Session, stage: Stage, changes: dict[str, Any]) -> None:
    if "ordinal" in changes:
        stage.ordinal = stages.free_ordinal(session, stage.model, changes["ordinal"])
    if "tier" in changes:
        stage.tier = tiers.get(session, changes["tier"])
    if "agreement" in changes:
        name = changes["agreement"]
        stage.agreement = None if name is None else agreements.get(session, name)
    if "planned" in changes:
        stage.plan_for(changes["planned"])
    stage.announced = changes.get("announced", stage.announced)
    stage.note = changes.get("note", stage.note)
    stage.reports_at_least = changes.get("reports_at_least", stage.reports_at_least)
