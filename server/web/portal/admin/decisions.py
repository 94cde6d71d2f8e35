"""Decisions: the list, one with all that it rested on, and approving, rejecting, cancelling."""

from datetime import datetime

from flask import Blueprint, Response, url_for
from wtforms import SelectField

from server.domain.callers import Caller
from server.domain.decisions import blockers, deciding
from server.domain.identity import second_person
from server.domain.identity.people import Person
from server.domain.paging import Page
from server.domain.permissions import Permission
from server.domain.release import decisions
from server.domain.release.decisions import Decision, DecisionFilter, DecisionState
from server.web.identity import resources
from server.web.portal.admin.lab import found, lab_page
from server.web.portal.kit import paging
from server.web.portal.kit.filters import of_address
from server.web.portal.kit.forms import Act, Form, carried_out, long_text, status, text
from server.web.portal.kit.markdown import as_html
from server.web.portal.kit.rendering import done, render

bp = Blueprint("admin_decisions", __name__, url_prefix="/admin/decisions")
ONE = "/<int:decision_id>"


class Filters(Form):
    """What narrows the list."""

    state = SelectField("State", choices={"": "Any", **{str(state): str(state) for state in DecisionState}})
    stage = text("Stage", 200, required=False, render_kw={"placeholder": "model/stage"})


class Closing(Form):
    """Asks why."""

    because = long_text("Reason", "It is emailed to the admins, and recorded in the log.")


@bp.get("")
@lab_page(Permission.DECISION_READ)
def index(caller: Caller) -> Response:
    """Every decision, newest first."""
    with resources().database.reading() as session:
        form: Filters = of_address(Filters)
        form.state.data = form.state.data or ""
        shown: list[Page[Decision]] = []

        def look() -> None:
            state = DecisionState(form.state.data) if form.state.data else None
            wanted = DecisionFilter(state, form.stage.data or None)
            shown.append(decisions.listed(session, caller, wanted, paging.part()))

        well = form.validate() and found(form.stage, look)
        page_of = shown[0] if well else None
        return render("admin/decisions/index.html", 200 if well else 422, form=form, page_of=page_of)


@bp.get(ONE)
@lab_page(Permission.DECISION_READ)
def show(caller: Caller, decision_id: int) -> Response:
    """One decision: who, when, why, and what it rested on, for good."""
    return _shown(caller, decision_id, Act())


@bp.post(f"{ONE}/approve")
@lab_page(Permission.DECISION_APPROVE, fresh=True)
def approve(caller: Caller, decision_id: int) -> Response:
    """The second step; never by whoever did the first."""
    form = Act()
    if not form.is_sent_well():
        return _shown(caller, decision_id, form)
    decided = form.attempt(caller, lambda: deciding.approve(resources(), caller, decision_id))
    if decided is None:
        return _shown(caller, decision_id, form)
    told = {
        DecisionState.DONE: f"Decision {decision_id} has been carried out.",
        DecisionState.APPROVED: f"Decision {decision_id} is approved, and will be carried out at its time.",
        DecisionState.BLOCKED: f"Decision {decision_id} is blocked. Nothing has changed.",
    }
    return done(_address(decision_id), told[DecisionState(decided.state)])


@bp.get(f"{ONE}/reject")
@lab_page(Permission.DECISION_APPROVE)
def reject_form(caller: Caller, decision_id: int) -> Response:
    """What rejecting ends, and what it does not."""
    return _closing(caller, decision_id, Closing(), "reject")


@bp.post(f"{ONE}/reject")
@lab_page(Permission.DECISION_APPROVE, fresh=True)
def reject(caller: Caller, decision_id: int) -> Response:
    """Say no to what somebody else proposed."""
    form = Closing()
    if not carried_out(form, caller, lambda: deciding.reject(resources(), caller, decision_id, form.because.data)):
        return _closing(caller, decision_id, form, "reject")
    return done(_address(decision_id), f"Decision {decision_id} is rejected.")


@bp.get(f"{ONE}/cancel")
@lab_page(Permission.DECISION_PROPOSE)
def cancel_form(caller: Caller, decision_id: int) -> Response:
    """What cancelling ends, and what it does not."""
    return _closing(caller, decision_id, Closing(), "cancel")


@bp.post(f"{ONE}/cancel")
@lab_page(Permission.DECISION_PROPOSE, fresh=True)
def cancel(caller: Caller, decision_id: int) -> Response:
    """Stop what has not happened yet."""
    form = Closing()
    if not carried_out(form, caller, lambda: deciding.cancel(resources(), caller, decision_id, form.because.data)):
        return _closing(caller, decision_id, form, "cancel")
    return done(_address(decision_id), f"Decision {decision_id} is cancelled.")


def _shown(caller: Caller, decision_id: int, form: Form) -> Response:
    with resources().database.reading() as session:
        one = decisions.get(session, caller, decision_id)
        me = None if caller.person_id is None else session.get(Person, caller.person_id)
        can = one.state == DecisionState.PROPOSED and caller.may(Permission.DECISION_APPROVE)
        lapsed = second_person.lapsed(session, one.proposed_by, Permission.DECISION_PROPOSE)
        why_not = None if me is None or not can else lapsed or second_person.fault(session, me, one.proposed_by)
        return render(
            "admin/decisions/show.html", status(form), form=form, one=one,
            can_approve=can and why_not is None and one.proposed_by != caller.person_id, why_not=why_not,
            blocks=blockers.of(session, one, one.stage) if one.is_open and one.to_state and one.stage else [],
            rationale=as_html(one.rationale), would_change=as_html(one.would_change),
            evidence=[("When it was proposed", one.rested_on)]
            + ([("When it was carried out", one.rested_on_when_done)] if one.evidence_when_done else []),
            moment=datetime.fromisoformat,
        )  # fmt: skip


def _closing(caller: Caller, decision_id: int, form: Closing, act: str) -> Response:
    with resources().database.reading() as session:
        one = decisions.get(session, caller, decision_id)
        return render("admin/decisions/close.html", status(form), form=form, one=one, act=act)


def _address(decision_id: int) -> str:
    return url_for("admin_decisions.show", decision_id=decision_id)
