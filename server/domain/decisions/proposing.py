"""Proposing that a stage moves, and taking that back: one admin says where to, when, why, and what would change it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from server import dates
from server.domain import long_texts
from server.domain.callers import Caller
from server.domain.decisions import evidence, records
from server.domain.entry_kinds import EntryKind
from server.domain.errors import InvalidRequest, NotPossible
from server.domain.mail import decision_notices
from server.domain.permissions import Permission
from server.domain.release import stages
from server.domain.release.decisions import Decision, DecisionFinding, DecisionKind, DecisionState
from server.domain.release.findings import Finding
from server.domain.release.stages import MOVES, Stage, StageState
from server.domain.resources import Resources

AHEAD_AT_MOST = timedelta(days=366)
TEXT_CHARACTERS_AT_MOST = 100_000
PUBLIC_CHARACTERS_AT_MOST = 2000
FINDINGS_AT_MOST = 200
_OPEN = (DecisionState.PROPOSED, DecisionState.APPROVED)


@dataclass(frozen=True, slots=True)
class Proposal:
    """What is proposed. opens_at: when it is to happen; None for as soon as it is approved. findings: considered."""

    to: StageState
    rationale: str
    would_change: str
    public_reason: str
    findings: Sequence[int] = ()
    opens_at: datetime | None = None


def propose(use: Resources, caller: Caller, full_name: str, proposal: Proposal) -> Decision:
    """Propose to move a stage. Nothing happens until another admin approves it."""
    caller.require(Permission.DECISION_PROPOSE)
    rationale, would_change, public_reason = _texts(proposal)
    with use.database.transaction() as session:
        stage = stages.get(session, full_name, lock=True)  # the same, sent twice at once, is proposed once
        at = use.clock()
        _require_time(proposal.opens_at, at)
        before = state_before(session, stage, proposal.opens_at)
        _require_possible(session, stage, before, proposal)
        decision = Decision(
            kind=DecisionKind.MOVE, subject=stage.full_name, stage_id=stage.id, from_state=before,
            to_state=proposal.to, state=DecisionState.PROPOSED, rationale=rationale, would_change=would_change,
            public_reason=public_reason, opens_at=proposal.opens_at, proposed_by=caller.person_id, proposed_at=at,
            evidence=evidence.gathered(session, stage, proposal.findings, at),
        )  # fmt: skip
        session.add(decision)
        session.flush()
        session.add_all(DecisionFinding(decision_id=decision.id, finding_id=one) for one in proposal.findings)
        decision_notices.waits(session, use, decision.id, decision.title, str(caller.person), public_reason, at)
        records.append(
            session, caller, EntryKind.DECISION_PROPOSE, decision, at, public_reason=public_reason,
            rationale_sha256=records.sha256(rationale), would_change_sha256=records.sha256(would_change),
            evidence_sha256=records.sha256(decision.evidence), findings=sorted(proposal.findings),
        )  # fmt: skip
        return decision


def state_before(session: Session, stage: Stage, opens_at: datetime | None) -> StageState:
    """The state that a move at a moment begins from: what those that are to happen before it will have made of it."""
    if opens_at is None:
        return StageState(stage.state)
    earlier = select(Decision.to_state).where(
        Decision.stage_id == stage.id, Decision.state.in_(_OPEN), Decision.opens_at <= opens_at
    )
    last = session.scalars(earlier.order_by(Decision.opens_at.desc(), Decision.id.desc()).limit(1)).first()
    return StageState(last or stage.state)


def _texts(proposal: Proposal) -> tuple[str, str, str]:
    if len(set(proposal.findings)) != len(proposal.findings) or len(proposal.findings) > FINDINGS_AT_MOST:
        raise InvalidRequest(f"Name each finding once, and {FINDINGS_AT_MOST} at most.")
    return (
        long_texts.require(proposal.rationale, "the rationale", TEXT_CHARACTERS_AT_MOST),
        long_texts.require(proposal.would_change, "what would change this decision", TEXT_CHARACTERS_AT_MOST),
        long_texts.require(proposal.public_reason, "a reason that everyone can read", PUBLIC_CHARACTERS_AT_MOST),
    )


def _require_time(opens_at: datetime | None, at: datetime) -> None:
    if opens_at is None:
        return
    if opens_at <= at:
        raise InvalidRequest(f"{dates.second(opens_at)} has passed. Choose a later time, or none for immediately.")
    if opens_at - at > AHEAD_AT_MOST:
        raise InvalidRequest(f"Choose a time within {AHEAD_AT_MOST.days} days: a decision further ahead would be old.")


def _require_possible(session: Session, stage: Stage, before: StageState, proposal: Proposal) -> None:
    if proposal.to not in MOVES[before]:
        can = ", ".join(sorted(MOVES[before])) or "no other state"
        when = "" if before == stage.state else " then"
        raise NotPossible(
            f"{stage.full_name} is {before}{when} and can move to: {can}. To stop downloads for now, place a hold."
        )
    _require_findings(session, stage, proposal.findings)
    same = select(Decision.id).where(
        Decision.stage_id == stage.id, Decision.state.in_(_OPEN), Decision.to_state == proposal.to,
        Decision.opens_at.is_not_distinct_from(proposal.opens_at),
    )  # fmt: skip
    if (known := session.scalar(same)) is not None:
        raise NotPossible(f"Decision {known} already proposes this, and is still open.")


def _require_findings(session: Session, stage: Stage, wanted: Sequence[int]) -> None:
    """Of its model, and there: what one stage showed is considered for the next."""
    query = select(Finding.id).where(Finding.id.in_(wanted), Finding.model_id == stage.model_id)
    if missing := sorted(set(wanted) - set(session.scalars(query))):
        raise NotPossible(f"There is no finding {missing[0]} on {stage.model.name}.")
