"""Lifting holds: one admin proposes it with a reason for everybody, and once another approves it, it has happened.

A lift is a decision like a stage's move: it is rejected, cancelled and shown as one.
"""

import json
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from server import dates
from server.domain import acts, long_texts
from server.domain.callers import Caller
from server.domain.decisions import records
from server.domain.decisions.proposing import PUBLIC_CHARACTERS_AT_MOST
from server.domain.entry_kinds import EntryKind
from server.domain.errors import NotPossible
from server.domain.identity import second_person
from server.domain.mail import decision_notices
from server.domain.permissions import Permission
from server.domain.release import cuts, holds
from server.domain.release.decisions import Decision, DecisionKind, DecisionState
from server.domain.release.holds import Held
from server.domain.release.stages import Stage
from server.domain.resources import Resources


def propose(use: Resources, caller: Caller, on: str, reason: str) -> Decision:
    """Propose to lift the hold on exactly this. Nothing is open before another admin approves it."""
    caller.require(Permission.DECISION_PROPOSE)
    reason = long_texts.require(reason, "a reason that others can read", PUBLIC_CHARACTERS_AT_MOST)
    with use.database.transaction() as session:
        on, held = _locked(session, on)
        if (known := proposed(session, on)) is not None:
            raise NotPossible(f"Decision {known.id} already proposes this, and is still open.")
        at = use.clock()
        decision = Decision(
            kind=DecisionKind.LIFT, subject=on, stage_id=held.id if isinstance(held, Stage) else None,
            state=DecisionState.PROPOSED, rationale=reason, would_change="", public_reason=reason,
            evidence=_evidence(session, on, held, at), proposed_by=caller.person_id, proposed_at=at,
        )  # fmt: skip
        session.add(decision)
        session.flush()
        decision_notices.waits(session, use, decision.id, decision.title, str(caller.person), reason, at)
        records.append(
            session, caller, EntryKind.DECISION_PROPOSE, decision, at, public_reason=reason,
            rationale_sha256=records.sha256(reason), would_change_sha256=records.sha256(""),
            evidence_sha256=records.sha256(decision.evidence), findings=[],
        )  # fmt: skip
        return decision


def approve(use: Resources, caller: Caller, on: str) -> Decision:
    """Approve what another admin proposed: the hold is lifted at once, and the state underneath counts again.

    What was cut at the store for it is taken back next, by whoever asks (`downloads/cutting.py`) or by the worker.
    """
    caller.require(Permission.DECISION_APPROVE)
    with use.database.transaction() as session:
        on, held = _locked(session, on)
        decision = proposed(session, on)
        if decision is None or held.held_at is None or decision.proposed_at < held.held_at:
            raise NotPossible(f"Nobody has proposed to lift the hold on {on}.", next_step="Propose it first.")
        second_person.require(session, caller, decision.proposed_by, Permission.DECISION_PROPOSE)
        at = use.clock()
        decision.state, decision.done_at = DecisionState.DONE, at
        decision.approved_by, decision.approved_at = caller.person_id, at
        records.append(session, caller, EntryKind.DECISION_APPROVE, decision, at)
        held.held_at = held.held_by = held.hold_reason = None
        cuts.lift(session, on, at)
        record = {"actor": caller.as_record(), "on": on, "decision": decision.id, "reason": decision.public_reason}
        acts.append(session, EntryKind.HOLD_LIFT, at, record, organization_id=holds.concerned(session, on))
        return decision


def proposed(session: Session, on: str) -> Decision | None:
    """The lift that waits to be approved; the row of what is on hold is locked by whoever goes on to act."""
    waiting = (Decision.kind == DecisionKind.LIFT, Decision.state == DecisionState.PROPOSED)
    return session.scalar(select(Decision).where(Decision.subject == on, *waiting).with_for_update())


def _locked(session: Session, on: str) -> tuple[str, Held]:
    on, held = holds.find(session, on, lock=True)
    if held.held_at is None:
        raise NotPossible(f"{on} is not on hold.")
    return on, held


def _evidence(session: Session, on: str, held: Held, at: datetime) -> str:
    """What the lift rests on: the hold as it is now, and what was cut for it."""
    cut = cuts.all_of(session, [on]).get(on)
    hold = {
        "on": on, "by": held.held_by, "reason": held.hold_reason,
        "at": None if held.held_at is None else dates.rfc3339(held.held_at),
        "cut": None if cut is None else str(cut.state),
    }  # fmt: skip
    return json.dumps({"at": dates.rfc3339(at), "hold": hold}, ensure_ascii=False, sort_keys=True)
