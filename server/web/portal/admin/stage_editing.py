"""Editing a stage: its plan and its announcement, and while it is planned, its place, tier and agreement."""

from flask import Blueprint, Response, request, url_for
from sqlalchemy.orm import Session
from wtforms import BooleanField, Field, IntegerField, SelectField
from wtforms.validators import InputRequired, NumberRange

from server.domain.access import ladder
from server.domain.callers import Caller
from server.domain.permissions import Permission
from server.domain.release import agreements, stage_editing, stages, tiers
from server.domain.release.plans import NOTE_CHARACTERS_AT_MOST, Window
from server.domain.release.stage_editing import FIXED_ONCE_RELEASED, Changes
from server.domain.release.stages import ORDINAL_AT_MOST, REPORTS_AT_MOST, Stage, StageState
from server.web import renamed
from server.web.identity import resources
from server.web.portal.admin.lab import WholeForm, lab_page
from server.web.portal.kit.forms import Form, long_text, status, text
from server.web.portal.kit.rendering import done, render

bp = Blueprint("admin_stage_editing", __name__, url_prefix="/admin/stages/<model>/<stage>/edit")
MONTH = {"type": "month", "placeholder": "2026-11"}


def announced() -> BooleanField:
    return BooleanField("Show the name and plan to everyone while the stage is planned")


def planned_from() -> Field:
    hint = "For example 2026-11. Leave both months empty while it is undecided."
    return text("First month of the planned window", 7, hint, required=False, render_kw=MONTH)


def planned_until() -> Field:
    return text("Last month", 7, "Leave it empty for a single month.", required=False, render_kw=MONTH)


def note() -> Field:
    hint = "Shown with the plan, and later with the stage: for example, what could still change it."
    return long_text("Public note", hint, most=NOTE_CHARACTERS_AT_MOST, required=False)


def window(form: Form) -> Window | None:
    """What was sent as the two months. Raises InvalidRequest."""
    first, last = form["planned_from"].data, form["planned_until"].data
    return Window(first or last, last or first) if first or last else None


class Edit(WholeForm):
    """A stage as it should be. Of one that is released, position, tier and agreement are not offered."""

    announced = announced()
    planned_from = planned_from()
    planned_until = planned_until()
    note = note()
    ordinal = IntegerField(
        "Position on the ladder",
        [InputRequired("Enter a position."), NumberRange(1, ORDINAL_AT_MOST, "A whole number from 1 to %(max)s.")],
    )
    reports_at_least = IntegerField(
        "Reports by partners before it can become public",
        [InputRequired("Enter a number, or 0."), NumberRange(0, REPORTS_AT_MOST, "A whole number from 0 to %(max)s.")],
        description="Findings, and reports that nothing was found. A decision to make it public is blocked until then. "
        "Another admin must approve a lower number.",
    )
    tier = SelectField("Tier", description="The tier that partners must be cleared for.")
    agreement = SelectField("Agreement", description="The agreement that partners must have signed.")

    def changes(self) -> Changes:
        """What was sent, as the domain takes it. Raises InvalidRequest."""
        sent = Changes(
            announced=self.announced.data, planned=window(self), note=self.note.data,
            reports_at_least=self.reports_at_least.data or 0,
        )  # fmt: skip
        if "ordinal" in self:
            sent["ordinal"] = self.ordinal.data or 0
        if "tier" in self:
            sent["tier"] = self.tier.data
        if "agreement" in self:
            sent["agreement"] = self.agreement.data or None
        return sent


@bp.get("")
@lab_page(Permission.STAGE_MANAGE)
def form(caller: Caller, model: str, stage: str) -> Response:
    """The stage as it is."""
    with resources().database.reading() as session:
        row = stages.find(session, caller, f"{model}/{stage}")
        if moved := renamed.todays_page(row.full_name):
            return moved
        form = _form(session, row)
        form.announced.data, form.note.data = row.announced, row.note
        form.reports_at_least.data = row.reports_at_least
        form.planned_from.data, form.planned_until.data = row.planned_from, row.planned_until
        if "ordinal" in form:
            form.ordinal.data, form.tier.data = row.ordinal, row.tier.name
            form.agreement.data = "" if row.agreement is None else row.agreement.name
        return _page(session, caller, form, row)


@bp.post("")
@lab_page(Permission.STAGE_MANAGE, fresh=True)
def edit(caller: Caller, model: str, stage: str) -> Response:
    """Change what differs."""
    use, name = resources(), f"{model}/{stage}"
    with use.database.reading() as session:
        form = _form(session, stages.find(session, caller, name))
    edited = None
    if form.is_sent_well():
        edited = form.attempt(caller, lambda: stage_editing.edit(use, caller, name, **form.changes()))
    if edited is None:
        with use.database.reading() as session:
            return _page(session, caller, form, stages.find(session, caller, name))
    model, stage = stages.split(edited.stage.full_name)
    said = f"{edited.stage.full_name} has been updated."
    if edited.waits is not None:
        said = (
            f"Proposal {edited.waits.id} waits for another admin. {model}/{stage} waits for as many reports as before."
        )
    return done(url_for("admin_stages.show", model=model, stage=stage), said)


def _form(session: Session, row: Stage) -> Edit:
    """Without the fields that are fixed by now, unless a form that was opened before sends them: it is told why not."""
    form = Edit()
    form.tier.choices = {tier.name: tier.name for tier in tiers.ranked(session)}
    form.agreement.choices = {"": "None", **{name: name for name in agreements.names(session)}}
    if row.state != StageState.PLANNED:
        for name in FIXED_ONCE_RELEASED - set(request.form):
            del form[name]
    return form


def _page(session: Session, caller: Caller, form: Edit, row: Stage) -> Response:
    held = ladder.step(session, resources(), caller, row.full_name).stage.held
    return render("admin/stages/edit.html", status(form), form=form, stage=row, held=held)
