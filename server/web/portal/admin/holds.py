"""Holds: placing one on a stage, a model or everything, and lifting it."""

from flask import Blueprint, Response, request, url_for
from wtforms import HiddenField
from wtforms.validators import InputRequired, Length

from server.domain.callers import Caller
from server.domain.downloads import live_urls
from server.domain.permissions import Permission
from server.domain.release import holds, stages
from server.domain.release.holds import EVERYTHING
from server.web.identity import resources
from server.web.portal.admin.lab import lab_page
from server.web.portal.kit.forms import Form, carried_out, long_text, status
from server.web.portal.kit.rendering import done, render

bp = Blueprint("admin_holds", __name__, url_prefix="/admin/holds")


class Placing(Form):
    """On what, and why."""

    on = HiddenField(validators=[InputRequired(), Length(max=200)])
    reason = long_text(
        "Reason", "It is recorded in the log, and staff can read it. Partners see only that there is a hold."
    )


class Lifting(Form):
    """From what."""

    on = HiddenField(validators=[InputRequired(), Length(max=200)])


@bp.get("/place")
@lab_page(Permission.STAGE_HOLD)
def place_form(caller: Caller) -> Response:
    """What a hold stops at once, and what it does not; an alarm's page gives the reason along."""
    form = Placing()
    form.reason.data = request.args.get("reason", "")[:200]
    return _act(caller, form, request.args.get("on", ""), "place")


@bp.post("/place")
@lab_page(Permission.STAGE_HOLD, fresh=True)
def place(caller: Caller) -> Response:
    """Stop issuing from the next request on."""
    form = Placing()
    on = form.on.data or ""
    if not carried_out(form, caller, lambda: holds.place(resources(), caller, on, form.reason.data)):
        return _act(caller, form, on, "place")
    return done(_after(on), f"{on} is on hold: no downloads are issued.")


@bp.get("/lift")
@lab_page(Permission.STAGE_HOLD)
def lift_form(caller: Caller) -> Response:
    """What lifting gives back."""
    return _act(caller, Lifting(), request.args.get("on", ""), "lift")


@bp.post("/lift")
@lab_page(Permission.STAGE_HOLD, fresh=True)
def lift(caller: Caller) -> Response:
    """Let the state underneath count again."""
    form = Lifting()
    on = form.on.data or ""
    if not carried_out(form, caller, lambda: holds.lift(resources(), caller, on)):
        return _act(caller, form, on, "lift")
    return done(_after(on), f"The hold on {on} has been lifted.")


def _act(caller: Caller, form: Placing | Lifting, on: str, name: str) -> Response:
    use = resources()
    with use.database.reading() as session:
        on, hold = holds.state_of(session, caller, on)
        form.on.data = on
        return render(
            f"admin/holds/{name}.html", status(form), form=form, on=on, hold=hold, back=_after(on),
            is_everything=on == EVERYTHING, live=live_urls.of_held(session, caller, on, use.clock()),
        )  # fmt: skip


def _after(on: str) -> str:
    if "/" not in on:
        return url_for("admin_stages.index")
    model, stage = stages.split(on)
    return url_for("admin_stages.show", model=model, stage=stage)
