"""Models and stages: the ladders, one stage with who may have it, and adding, naming."""

from typing import Any

from flask import Blueprint, Response, request, url_for
from wtforms import IntegerField, SelectField
from wtforms.validators import NumberRange, Optional

from server.domain.access import clearances, ladder
from server.domain.audit import log_entries
from server.domain.audit.log_entries import EntryFilter
from server.domain.callers import Caller
from server.domain.delivery import usage
from server.domain.downloads import live_urls
from server.domain.identity import proposals
from server.domain.paging import Slice
from server.domain.permissions import Permission
from server.domain.publish import checkpoints
from server.domain.release import agreements, decisions, holds, stages, tiers
from server.domain.release.decisions import DecisionFilter
from server.domain.release.stages import MOVES, ORDINAL_AT_MOST, REPORTS_AT_MOST, StageState
from server.web import renamed
from server.web.identity import resources
from server.web.portal.admin import stage_editing
from server.web.portal.admin.lab import found, lab_page
from server.web.portal.kit import paging
from server.web.portal.kit.forms import Form, carried_out, status, text
from server.web.portal.kit.rendering import done, render

bp = Blueprint("admin_stages", __name__, url_prefix="/admin/stages")
ONE = "/<model>/<stage>"
SHOWN = Slice(20)


class NewModel(Form):
    """A family that is released in stages."""

    name = text("Name", 96, "The first part of the stage's URLs, for example gpt-2. It cannot be changed later.")
    title = text("Title", 200, "The name shown to people.")


class NewStage(Form):
    """One step of a model's release; it begins as planned."""

    model = SelectField("Model")
    name = text("Name", 96, "For example 774M.")
    tier = SelectField("Tier", description="The tier that partners must be cleared for.")
    agreement = SelectField("Agreement", description="The agreement that partners must have signed.")
    ordinal = IntegerField(
        "Position on the ladder",
        [Optional(), NumberRange(1, ORDINAL_AT_MOST, "A whole number from 1 to %(max)s.")],
        description="Leave empty to add it at the end.",
    )
    parameters = IntegerField(
        "Parameters",
        [Optional(), NumberRange(1, 2**53 - 1, "A whole number from 1.")],
        description="The number of parameters.",
    )
    reports_at_least = IntegerField(
        "Reports by partners before it can become public",
        [Optional(), NumberRange(0, REPORTS_AT_MOST, "A whole number from 0 to %(max)s.")],
        description="Findings, and reports that nothing was found. Leave empty for none.",
    )
    announced = stage_editing.announced()
    planned_from = stage_editing.planned_from()
    planned_until = stage_editing.planned_until()
    note = stage_editing.note()


class Alias(Form):
    """Another name."""

    alias = text("Alias", 96, "URLs with this name will lead to the stage permanently.")


@bp.get("")
@lab_page(Permission.STAGE_READ)
def index(caller: Caller) -> Response:
    """Every model's ladder, and the holds that lie."""
    use = resources()
    with use.database.reading() as session:
        steps = {known.model: known.steps for known in ladder.ladders(session, use, caller)}
        ladders = [
            (model, [step.stage for step in steps.get(model.name, [])]) for model in stages.all_models(session, caller)
        ]
        return render("admin/stages/index.html", ladders=ladders, holds=holds.current(session, caller), now=use.clock())


@bp.get("/add-model")
@lab_page(Permission.STAGE_MANAGE)
def add_model_form(caller: Caller) -> Response:
    """The form."""
    del caller
    return render("admin/stages/add_model.html", form=NewModel())


@bp.post("/add-model")
@lab_page(Permission.STAGE_MANAGE, fresh=True)
def add_model(caller: Caller) -> Response:
    """Add a model, to be released in stages."""
    form, made = NewModel(), None
    if form.is_sent_well():
        made = form.attempt(caller, lambda: stages.add_model(resources(), caller, form.name.data, form.title.data))
    if made is None:
        return render("admin/stages/add_model.html", status(form), form=form)
    return done(
        url_for("admin_stages.add_form", model=made.name),
        f"Model {made.name} has been added. Next, add its first stage.",
    )


@bp.get("/add")
@lab_page(Permission.STAGE_MANAGE)
def add_form(caller: Caller) -> Response:
    """The form; arriving from a model's ladder, it is chosen already."""
    form = NewStage()
    with resources().database.reading() as session:
        _offer(form, session, caller)
    form.model.data, form.agreement.data = request.args.get("model", ""), ""
    return render("admin/stages/add.html", form=form)


@bp.post("/add")
@lab_page(Permission.STAGE_MANAGE, fresh=True)
def add(caller: Caller) -> Response:
    """Add a planned stage."""
    use, form, made = resources(), NewStage(), None
    with use.database.reading() as session:
        _offer(form, session, caller)
    well = form.is_sent_well()
    if well and found(form.name, lambda: stages.split(f"{form.model.data}/{form.name.data}")):
        made = form.attempt(
            caller,
            lambda: stages.add(
                use, caller, f"{form.model.data}/{form.name.data}", tier=form.tier.data,
                ordinal=form.ordinal.data, agreement=form.agreement.data or None, parameters=form.parameters.data,
                announced=form.announced.data, planned=stage_editing.window(form), note=form.note.data,
                reports_at_least=form.reports_at_least.data or 0,
            ),
        )  # fmt: skip
    if made is None:
        return render("admin/stages/add.html", status(form), form=form)
    return done(
        _address(made.full_name),
        f"{made.full_name} has been added as number {made.ordinal} on its ladder. It is planned.",
    )


@bp.get(ONE)
@lab_page(Permission.CHECKPOINT_READ)
def show(caller: Caller, model: str, stage: str) -> Response:
    """One stage: its state, its checkpoints, who is cleared for it now, and how much was downloaded."""
    use = resources()
    at = use.clock()
    with use.database.reading() as session:
        known = ladder.step(session, use, caller, f"{model}/{stage}")
        row = stages.find(session, caller, f"{model}/{stage}")
        if moved := renamed.todays_page(row.full_name):
            return moved
        decided = decisions.listed(session, caller, DecisionFilter(stage=row.full_name), SHOWN).items
        return render(
            "admin/stages/show.html", decided=decided, deciding=[one for one in decided if one.is_open],
            waiting=proposals.all_open_of(session, caller, row.full_name),
            stage=row, aliases=stages.aliases(session, row), now=at,
            held=known.stage.held,
            holds=[hold for hold in holds.current(session, caller) if hold.on in _above(row.full_name)],
            moves=MOVES[StageState(row.state)], checkpoints=checkpoints.published(session, row.id, paging.part()),
            opening=clearances.opening(session, caller, row, SHOWN, at),
            usage=usage.of_stage(session, caller, row.full_name, at),
            live=live_urls.of_held(session, caller, row.full_name, at),
            history=log_entries.visible(session, caller, EntryFilter(stage=row.full_name), SHOWN),
        )  # fmt: skip


@bp.get(f"{ONE}/alias")
@lab_page(Permission.STAGE_MANAGE)
def alias_form(caller: Caller, model: str, stage: str) -> Response:
    """The form."""
    return _act(caller, Alias(), model, stage, "alias")


@bp.post(f"{ONE}/alias")
@lab_page(Permission.STAGE_MANAGE, fresh=True)
def alias(caller: Caller, model: str, stage: str) -> Response:
    """Let it be found under another name as well."""
    form = Alias()
    if not carried_out(
        form, caller, lambda: stages.add_alias(resources(), caller, f"{model}/{stage}", form.alias.data)
    ):
        return _act(caller, form, model, stage, "alias")
    return done(_address(f"{model}/{stage}"), f"The stage can now also be found as {model}/{form.alias.data}.")


def _act(caller: Caller, form: Form, model: str, stage: str, name: str) -> Response:
    use = resources()
    with use.database.reading() as session:
        row = stages.find(session, caller, f"{model}/{stage}")
        if request.method == "GET" and (moved := renamed.todays_page(row.full_name)):
            return moved
        return render(
            f"admin/stages/{name}.html", status(form), form=form, stage=row,
            held=ladder.step(session, use, caller, row.full_name).stage.held,
            live=live_urls.of_held(session, caller, row.full_name, use.clock()),
        )  # fmt: skip


def _offer(form: NewStage, session: Any, caller: Caller) -> None:
    form.model.choices = {model.name: model.name for model in stages.all_models(session, caller)}
    form.tier.choices = {tier.name: tier.name for tier in tiers.ranked(session)}
    form.agreement.choices = {"": "None", **{name: name for name in agreements.names(session)}}


def _above(full_name: str) -> set[str]:
    """Whatever a hold on which covers a stage."""
    return {full_name, full_name.partition("/")[0], holds.EVERYTHING}


def _address(full_name: str) -> str:
    model, stage = stages.split(full_name)
    return url_for("admin_stages.show", model=model, stage=stage)
