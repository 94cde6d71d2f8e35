"""Deciding what was proposed: another admin approves it or rejects it, and any admin cancels what has not happened."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.domain import long_texts
from server.domain.callers import Caller
from server.domain.decisions import execution, lifting, records
from server.domain.entry_kinds import EntryKind
from server.domain.errors import NotFound, NotPossible
from server.domain.identity import second_person
from server.domain.mail import decision_notices
from server.domain.permissions import Permission
from server.domain.release import decisions
from server.domain.release.decisions import Decision, DecisionKind, DecisionState
from server.domain.resources import Resources
from server.log import condition


def approve(use: Resources, caller: Caller, decision_id: int, because: str | None = None) -> Decision:
    """Approve a move or a lift: carried out at once, or at its time. Never by the one who proposed it.

    One whose moment is now and that something forbids becomes `blocked`: the returned row says by what. Raises
    LogUnsound when our clock is behind the log.
    """
    caller.require(Permission.DECISION_APPROVE)
    because = _reason(because)
    if (on := _lifts(use, caller, decision_id)) is not None:
        return lifting.approve(use, caller, on)
    execution.carry_out_due(use)  # what was to happen before this happens before it, though the worker be away
    with use.database.transaction() as session:
        decision = execution.locked(session, decision_id)
        _require_state(decision, DecisionState.PROPOSED, "approved")
        second_person.require(session, caller, decision.proposed_by, Permission.DECISION_PROPOSE)
        at = use.clock()
        condition.require_clock(session, at)
        decision.state, decision.approved_by, decision.approved_at = DecisionState.APPROVED, caller.person_id, at
        decision.approved_because = because
        if decision.opens_at is not None:
            decision_notices.scheduled(session, use, decision.id, decision.title, decision.opens_at, at)
        records.append(session, caller, EntryKind.DECISION_APPROVE, decision, at, because=because)
        if decision.opens_at is None:
            execution.carry_out(session, use, decision, at)
    if decision.opens_at is not None and decision.opens_at <= at:  # it waited long: at its turn, as the worker would
        execution.carry_out_due(use)
        with use.database.reading() as session:
            return decisions.get(session, caller, decision_id)
    return decision


def reject(use: Resources, caller: Caller, decision_id: int, because: str | None = None) -> Decision:
    """Say no to what somebody else proposed. For good: it can be proposed anew."""
    caller.require(Permission.DECISION_APPROVE)
    with use.database.transaction() as session:
        decision = _of_row(session, decision_id)
        _require_state(decision, DecisionState.PROPOSED, "rejected")
        if decision.proposed_by == caller.person_id:
            raise NotPossible("You proposed this decision. To take it back, cancel it.")
        return _close(session, use, caller, decision, DecisionState.REJECTED, because)


def cancel(use: Resources, caller: Caller, decision_id: int, because: str | None = None) -> Decision:
    """Stop a decision that has not happened: one that is proposed, or one that waits for its time."""
    caller.require(Permission.DECISION_PROPOSE)
    with use.database.transaction() as session:
        decision = _of_row(session, decision_id)
        if not decision.is_open:
            raise NotPossible(f"Decision {decision.id} is {decision.state}: there is nothing left to cancel.")
        return _close(session, use, caller, decision, DecisionState.CANCELLED, because)


def _lifts(use: Resources, caller: Caller, decision_id: int) -> str | None:
    """What a decision lifts the hold on, if it is still to be decided; None of a move. Raises NotFound."""
    with use.database.reading() as session:
        decision = decisions.get(session, caller, decision_id)
        if decision.kind != DecisionKind.LIFT:
            return None
        _require_state(decision, DecisionState.PROPOSED, "approved")
        return decision.subject


def _close(
    session: Session, use: Resources, caller: Caller, decision: Decision, state: DecisionState, because: str | None
) -> Decision:
    because, at = _reason(because), use.clock()
    decision.state, decision.closed_by, decision.closed_at, decision.closed_because = (
        state, caller.person_id, at, because,
    )  # fmt: skip
    decision_notices.closed(
        session, use, decision.id, decision.title, str(state), str(caller.person), because,
        {decision.proposed_by, decision.approved_by}, at,
    )  # fmt: skip
    kind = EntryKind.DECISION_REJECT if state is DecisionState.REJECTED else EntryKind.DECISION_CANCEL
    records.append(session, caller, kind, decision, at, because=because)
    return decision


def _of_row(session: Session, decision_id: int) -> Decision:
    decision = session.scalar(select(Decision).where(Decision.id == decision_id).with_for_update())
    if decision is None:
        raise NotFound(f"There is no decision {decision_id}.")
    return decision


def _require_state(decision: Decision, state: DecisionState, what: str) -> None:
    if decision.state != state:
        raise NotPossible(f"Decision {decision.id} is {decision.state}: only a {state} decision can be {what}.")


def _reason(because: str | None) -> str | None:
    return None if because is None else long_texts.require(because, "a reason, which is recorded in the log")
