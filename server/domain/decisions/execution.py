"""Carrying decisions out: the only place where a stage's state changes, at its moment, once, and in order."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.domain.access import cleared
from server.domain.decisions import blockers, evidence, records
from server.domain.entry_kinds import EntryKind
from server.domain.errors import NotFound
from server.domain.mail import decision_notices
from server.domain.release import decisions, findings
from server.domain.release.decisions import Decision, DecisionState
from server.domain.release.stages import Everything, Model, Stage, StageState
from server.domain.resources import Resources
from server.log import condition

CARRY_OUT_EVERY_SECONDS = 1


def carry_out_due(use: Resources) -> list[Decision]:
    """Carry out what is approved and whose time has come, each judged anew at its turn: the stage, not the people.

    Two people who could have decided it. Whatever becomes of them, it stands until somebody cancels it.

    In the order of their times, however many workers do it, and however long none did. Raises LogUnsound when our
    clock is behind the log: then nobody can say what is due.
    """
    found = []
    while (decision_id := _next_due(use)) is not None:
        with use.database.transaction() as session:
            decision = locked(session, decision_id)
            at = use.clock()
            condition.require_clock(session, at)
            if decision.state == DecisionState.APPROVED:  # else another worker did it, or somebody cancelled it
                carry_out(session, use, decision, at)
                found.append(decision)
    return found


def locked(session: Session, decision_id: int) -> Decision:
    """A decision, with the rows that its execution changes and all by which something that forbids it goes: whoever
    places a hold or tells of what is critical comes before it or after it. Raises NotFound.
    """
    stage_id = session.scalar(select(Decision.stage_id).where(Decision.id == decision_id))
    if stage_id is not None:
        # What only forbids is shared, so that downloads of other stages go on. The model comes first, as for whoever
        # edits a stage; a finding that is reported meanwhile names the stage, whose key does not change.
        of_stage = select(Model).join(Stage, Stage.model_id == Model.id).where(Stage.id == stage_id)
        session.scalar(of_stage.with_for_update(of=Model, read=True))
        session.scalar(select(Stage).where(Stage.id == stage_id).with_for_update(key_share=True))
        session.get_one(Everything, 1, with_for_update={"read": True})
    decision = session.scalar(select(Decision).where(Decision.id == decision_id).with_for_update())
    if decision is None:
        raise NotFound(f"There is no decision {decision_id}.")
    return decision


def carry_out(session: Session, use: Resources, decision: Decision, at: datetime) -> None:
    """Move the stage, or say for good what forbids it, inside the caller's transaction, on locked rows."""
    stage = session.get_one(Stage, decision.stage_id)
    considered = decisions.considered(session, decision.id)
    because = blockers.of(session, decision, stage)
    if because:
        decision.state, decision.closed_at = DecisionState.BLOCKED, at
        decision.blocked_because = "\n".join(because)
        people = {decision.proposed_by, decision.approved_by}
        decision_notices.blocked(session, use, decision.id, decision.title, because, people, at)
        records.append(session, None, EntryKind.DECISION_BLOCK, decision, at, because=because)
        return
    decision.evidence_when_done = evidence.gathered(session, stage, considered, at)
    decision.state, decision.done_at = DecisionState.DONE, at
    findings.mark_considered(session, considered, at)
    stage.state, stage.state_since = StageState(str(decision.to_state)), at
    if decision.opens_at is not None:  # else whoever approved it has just seen it
        people = {decision.proposed_by, decision.approved_by}
        decision_notices.done(session, use, decision.id, decision.title, people, at)
    if decision.is_opening:
        to_everyone = stage.state is StageState.PUBLIC
        decision_notices.stage_opened(
            session, use, stage.full_name, decision.public_reason, at,
            cleared=None if to_everyone else cleared.organizations(stage.model_id, stage.tier.rank, at),
        )  # fmt: skip
    records.append(
        session, None, EntryKind.DECISION_EXECUTE, decision, at, public_reason=decision.public_reason,
        evidence_sha256=records.sha256(decision.evidence_when_done), findings=list(considered),
    )  # fmt: skip


def _next_due(use: Resources) -> int | None:
    query = select(Decision.id).where(Decision.state == DecisionState.APPROVED, Decision.opens_at <= use.clock())
    with use.database.reading() as session:
        return session.scalars(query.order_by(Decision.opens_at, Decision.id).limit(1)).first()
