"""Proposing that a stage moves: first the rehearsal of what that would do, then why, and its name to confirm it."""

from datetime import UTC
from typing import Any

from flask import Blueprint, Response, url_for
from sqlalchemy.orm import Session
from wtforms import BooleanField, DateTimeLocalField, SelectMultipleField, StringField
from wtforms.validators import InputRequired, Optional, ValidationError
from wtforms.widgets import CheckboxInput, ListWidget

from server.domain.callers import Caller
from server.domain.decisions import proposing, rehearsals
from server.domain.decisions.proposing import PUBLIC_CHARACTERS_AT_MOST, TEXT_CHARACTERS_AT_MOST, Proposal
from server.domain.decisions.rehearsals import Rehearsal
from server.domain.errors import NotFound
from server.domain.paging import Slice
from server.domain.permissions import Permission
from server.domain.release import findings, stages
from server.domain.release.findings import FindingFilter
from server.domain.release.stages import Stage, StageState
from server.web.identity import resources
from server.web.portal.admin.lab import lab_page
from server.web.portal.kit.forms import Form, carried_out, long_text, status, text
from server.web.portal.kit.rendering import done, render

bp = Blueprint("admin_moves", __name__, url_prefix="/admin/stages/<model>/<stage>/move")
NAMED = 50  # organizations, of each kind; the command names all
OFFERED = Slice(100)  # findings: the newest
HAPPENS = {
    StageState.PARTNERS: "Partners with a clearance and a signature can download it.",
    StageState.PUBLIC: "Anyone can download it, without signing in unless the settings require it.",
    StageState.WITHDRAWN: "Nobody can download it again. This is permanent.",
}


class Move(Form):
    """Why, when, and resting on what. wanted: the stage's name, to be typed."""

    public_reason = long_text(
        "Public reason", "Everyone can read it once the decision is carried out.", most=PUBLIC_CHARACTERS_AT_MOST
    )
    rationale = long_text(
        "Rationale", "Why now? Markdown. Staff can read it, permanently.", most=TEXT_CHARACTERS_AT_MOST, rows=8
    )
    would_change = long_text(
        "What would change this decision", "Markdown. Staff can read it.", most=TEXT_CHARACTERS_AT_MOST
    )
    findings = SelectMultipleField(
        "Findings that were considered", coerce=int, description="The newest of its model.",
        widget=ListWidget(prefix_label=False), option_widget=CheckboxInput(),
    )  # fmt: skip
    opens_at = DateTimeLocalField(
        "When (UTC)", [Optional()], format=["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"],
        description="Leave it empty to carry it out as soon as another admin approves it.",
    )  # fmt: skip
    out_of_order = BooleanField("Move it although it is out of the ladder’s order")
    confirmation = text("Type the stage’s name to confirm", 200)

    def __init__(self, wanted: str) -> None:
        super().__init__()
        self.wanted = wanted

    def validate_confirmation(self, field: Any) -> None:
        if field.data != self.wanted:
            raise ValidationError(f"This does not match {self.wanted}.")

    def proposal(self, to: StageState) -> Proposal:
        """What was sent, as the domain takes it."""
        at, considered = self.opens_at.data, self.findings.data if "findings" in self else ()
        return Proposal(
            to, self.rationale.data, self.would_change.data, self.public_reason.data, tuple(considered or ()),
            None if at is None else at.replace(tzinfo=UTC),
        )  # fmt: skip


class Reminder(Form):
    """Whom."""

    organization = StringField(validators=[InputRequired()])


@bp.get("/<to>")
@lab_page(Permission.DECISION_PROPOSE)
def form(caller: Caller, model: str, stage: str, to: str) -> Response:
    """What the move would do now, and the form that proposes it."""
    with resources().database.reading() as session:
        row, rehearsal = _rehearsed(session, caller, f"{model}/{stage}", to)
        return _page(_form(session, caller, row, rehearsal), row, rehearsal)


@bp.post("/<to>")
@lab_page(Permission.DECISION_PROPOSE, fresh=True)
def propose(caller: Caller, model: str, stage: str, to: str) -> Response:
    """Propose it: another admin decides."""
    use = resources()
    with use.database.reading() as session:
        row, rehearsal = _rehearsed(session, caller, f"{model}/{stage}", to)
        sent = _form(session, caller, row, rehearsal)
        made = None
        if sent.is_sent_well():
            proposal = sent.proposal(rehearsal.to)
            made = sent.attempt(caller, lambda: proposing.propose(use, caller, row.full_name, proposal))
        if made is None:
            return _page(sent, row, rehearsal)
    return done(
        url_for("admin_decisions.show", decision_id=made.id),
        f"Decision {made.id} is proposed. Another admin must approve it.",
    )


@bp.post("/remind")
@lab_page(Permission.DECISION_PROPOSE, fresh=True)
def remind(caller: Caller, model: str, stage: str) -> Response:
    """Ask an organization's owners to sign what the stage requires."""
    use, sent, name = resources(), Reminder(), f"{model}/{stage}"
    if carried_out(sent, caller, lambda: rehearsals.remind(use, caller, name, sent.organization.data or "")):
        told = f"The owners of {sent.organization.data} get an email."
        return done(url_for("admin_stages.show", model=model, stage=stage), told)
    with use.database.reading() as session:
        row = stages.find(session, caller, name)
        return render("admin/moves/remind.html", status(sent), form=sent, stage=row)


def _rehearsed(session: Session, caller: Caller, name: str, to: str) -> tuple[Stage, Rehearsal]:
    """Raises NotFound for a stage or a state that there is not, NotPossible where it cannot move there now."""
    if to not in set(HAPPENS):
        raise NotFound("There is no such state.")
    rehearsal = rehearsals.rehearse(session, caller, name, StageState(to), resources().clock(), named_at_most=NAMED)
    return stages.find(session, caller, name), rehearsal


def _form(session: Session, caller: Caller, row: Stage, rehearsal: Rehearsal) -> Move:
    sent = Move(row.full_name)
    of_model = [
        one for one in findings.visible(session, caller, OFFERED, FindingFilter()).items if one.model_id == row.model_id
    ]
    sent.findings.choices = [
        (one.id, f"{one.id}: {one.title} ({one.stage.name}, {one.severity}, {one.state})") for one in of_model
    ]
    if not of_model:
        del sent.findings
    if rehearsal.out_of_order:
        sent.out_of_order.validators = [InputRequired("Tick this, or release the smaller stages first.")]
    else:
        del sent.out_of_order
    return sent


def _page(sent: Move, row: Stage, rehearsal: Rehearsal) -> Response:
    return render(
        "admin/moves/propose.html", status(sent), form=sent, stage=row, rehearsal=rehearsal,
        happens=HAPPENS[rehearsal.to],
    )  # fmt: skip
