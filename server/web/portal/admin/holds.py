"""Holds: placing one, cutting the URLs that were issued before, and lifting it by two admins."""

from flask import Blueprint, Response, request, url_for
from wtforms import BooleanField, HiddenField
from wtforms.validators import InputRequired, Length

from server.domain.callers import Caller
from server.domain.decisions import lifting
from server.domain.decisions.proposing import PUBLIC_CHARACTERS_AT_MOST
from server.domain.downloads import cutting, live_urls
from server.domain.identity.organizations import HELD_AS
from server.domain.permissions import Permission
from server.domain.release import holds, stages
from server.domain.release.holds import EVERYTHING
from server.web.identity import resources
from server.web.portal.admin.lab import lab_page
from server.web.portal.kit.forms import Form, carried_out, long_text, status
from server.web.portal.kit.rendering import done, render

bp = Blueprint("admin_holds", __name__, url_prefix="/admin/holds")


class OnOne(Form):
    """On what."""

    on = HiddenField(validators=[InputRequired(), Length(max=200)])


class Placing(OnOne):
    """Why, and whether URLs that are out shall end."""

    reason = long_text(
        "Reason", "It is recorded in the log, and staff can read it. Partners see only that there is a hold."
    )
    cut_issued = BooleanField("Make the URLs that were already issued fail at the store")


class Lifting(OnOne):
    """Why it is over."""

    reason = long_text("Public reason", "Of a stage or a model, everyone can read it.", most=PUBLIC_CHARACTERS_AT_MOST)


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
    """Stop issuing from the next request on; the worker cuts at the store."""
    form, on = Placing(), request.form.get("on", "")
    if not carried_out(
        form, caller, lambda: holds.place(resources(), caller, on, form.reason.data, cut_issued=form.cut_issued.data)
    ):
        return _act(caller, form, on, "place")
    return done(_after(on), f"{on} is on hold: no downloads are issued.")


@bp.get("/cut")
@lab_page(Permission.STAGE_HOLD)
def cut_form(caller: Caller) -> Response:
    """Which URLs are out, and what ends with them."""
    return _act(caller, OnOne(), request.args.get("on", ""), "cut")


@bp.post("/cut")
@lab_page(Permission.STAGE_HOLD, fresh=True)
def cut(caller: Caller) -> Response:
    """Have the worker make them fail at the store."""
    form, on = OnOne(), request.form.get("on", "")
    if not carried_out(form, caller, lambda: holds.cut(resources(), caller, on)):
        return _act(caller, form, on, "cut")
    return done(_after(on), f"The issued URLs of {on} are being cut.")


@bp.get("/propose-lift")
@lab_page(Permission.DECISION_PROPOSE)
def propose_lift_form(caller: Caller) -> Response:
    """What lifting gives back, once another admin approves it."""
    return _act(caller, Lifting(), request.args.get("on", ""), "propose_lift")


@bp.post("/propose-lift")
@lab_page(Permission.DECISION_PROPOSE, fresh=True)
def propose_lift(caller: Caller) -> Response:
    """Propose to let the state underneath count again."""
    form, on = Lifting(), request.form.get("on", "")
    if not carried_out(form, caller, lambda: lifting.propose(resources(), caller, on, form.reason.data)):
        return _act(caller, form, on, "propose_lift")
    return done(_after(on), f"The lift of the hold on {on} is proposed. Another admin must approve it.")


@bp.get("/approve-lift")
@lab_page(Permission.DECISION_APPROVE)
def approve_lift_form(caller: Caller) -> Response:
    """Who proposed it and why, and what is open again afterwards."""
    return _act(caller, OnOne(), request.args.get("on", ""), "approve_lift")


@bp.post("/approve-lift")
@lab_page(Permission.DECISION_APPROVE, fresh=True)
def approve_lift(caller: Caller) -> Response:
    """Lift the hold at once; the worker takes back what was cut."""
    form, on = OnOne(), request.form.get("on", "")
    if not carried_out(form, caller, lambda: lifting.approve(resources(), caller, on)):
        return _act(caller, form, on, "approve_lift")
    return done(_after(on), f"The hold on {on} has been lifted.")


def _act(caller: Caller, form: OnOne, on: str, name: str) -> Response:
    use = resources()
    with use.database.reading() as session:
        on, hold = holds.state_of(session, caller, on)
        form.on.data = on
        at, ends_all = use.clock(), holds.is_organization(on)  # whose URLs end with the key that signed all
        can_cut = cutting.can_cut(use.settings, on)
        return render(
            f"admin/holds/{name}.html", status(form), form=form, on=on, hold=hold, back=_after(on),
            is_everything=on == EVERYTHING, is_organization=ends_all, can_cut=can_cut,
            live=live_urls.of_held(session, caller, on, at),
            live_of_all=live_urls.of_held(session, caller, EVERYTHING, at) if ends_all else None,
        )  # fmt: skip


def _after(on: str) -> str:
    if holds.is_organization(on):
        return url_for("admin_organizations.show", slug=on.removeprefix(HELD_AS))
    if "/" not in on:
        return url_for("admin_stages.index")
    model, stage = stages.split(on)
    return url_for("admin_stages.show", model=model, stage=stage)
