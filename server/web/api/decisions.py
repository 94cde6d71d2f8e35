"""Reading decisions, for staff: how stages were released, and what each decision rested on."""

from typing import Any

from apiflask import APIBlueprint
from flask import Response

from server.domain.callers import Caller
from server.domain.permissions import Permission
from server.domain.release import decisions
from server.domain.release.decisions import Decision, DecisionFilter
from server.web.api.answers import Answer, Listing, ListQuery, listing, moment
from server.web.identity import allow, resources

bp = APIBlueprint("decisions", __name__, url_prefix="/api/v1", tag="decisions")


class DecisionAnswer(Answer):
    id: int
    kind: str
    subject: str
    from_state: str | None
    to_state: str | None
    state: str
    opens_at: str | None
    proposed_by: str
    proposed_at: str
    approved_by: str | None
    approved_at: str | None
    closed_at: str | None
    blocked_because: str | None
    done_at: str | None
    public_reason: str


class Decisions(Listing):
    items: list[DecisionAnswer]


class WholeDecision(DecisionAnswer):
    rationale: str
    would_change: str
    closed_because: str | None
    findings: list[int]
    evidence: dict[str, Any]
    evidence_when_done: dict[str, Any] | None


@bp.get("/decisions")
@allow(Permission.DECISION_READ)
@bp.input(ListQuery, location="query", arg_name="query")
@bp.output(Decisions)
def index(caller: Caller, query: ListQuery) -> Response:
    """Every decision, newest first; for staff."""
    with resources().database.reading() as session:
        return listing(decisions.listed(session, caller, DecisionFilter(), query.as_slice()), _decision)


@bp.get("/decisions/<int:decision_id>")
@allow(Permission.DECISION_READ)
@bp.output(WholeDecision)
def show(caller: Caller, decision_id: int) -> dict[str, Any]:
    """One decision with its texts and all that it rested on; for staff."""
    with resources().database.reading() as session:
        one = decisions.get(session, caller, decision_id)
        return {
            **_decision(one), "rationale": one.rationale, "would_change": one.would_change,
            "closed_because": one.closed_because, "findings": list(decisions.considered(session, decision_id)),
            "evidence": one.rested_on, "evidence_when_done": one.rested_on_when_done,
        }  # fmt: skip


def _decision(one: Decision) -> dict[str, Any]:
    return {
        "id": one.id, "kind": str(one.kind), "subject": one.subject, "from_state": one.from_state,
        "to_state": one.to_state, "state": str(one.state), "opens_at": moment(one.opens_at),
        "proposed_by": one.proposer.email, "proposed_at": moment(one.proposed_at),
        "approved_by": None if one.approver is None else one.approver.email, "approved_at": moment(one.approved_at),
        "closed_at": moment(one.closed_at), "blocked_because": one.blocked_because, "done_at": moment(one.done_at),
        "public_reason": one.public_reason,
    }  # fmt: skip
