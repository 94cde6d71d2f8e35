"""Tiers: the list, adding one, and what renewing takes."""

from flask import Blueprint, Response, url_for
from wtforms import BooleanField, HiddenField, IntegerField
from wtforms.validators import AnyOf, InputRequired, NumberRange

from server.domain.callers import Caller
from server.domain.permissions import Permission
from server.domain.release import tiers
from server.web.identity import resources
from server.web.portal.admin.lab import lab_page
from server.web.portal.kit.forms import Form, carried_out, status, text
from server.web.portal.kit.rendering import done, render

bp = Blueprint("admin_tiers", __name__, url_prefix="/admin/tiers")


class NewTier(Form):
    """A rank of access."""

    name = text("Name", 64, "Letters a-z, digits and '-'.")
    rank = IntegerField(
        "Rank",
        [InputRequired("This field is required."), NumberRange(0, 1_000_000, "A whole number from 0 to 1000000.")],
        description="A higher rank includes everything that a lower rank gives access to. Leave gaps between ranks.",
    )
    report_to_renew = BooleanField(
        "Renewing takes a report",
        description="An organization can renew its access only after it has reported a finding, or that it found "
        "nothing, since the access was granted.",
    )


class Renewing(Form):
    """Whether renewing takes a report."""

    report = HiddenField(validators=[AnyOf(["yes", "no"], "Use one of the buttons.")])


@bp.get("")
@lab_page(Permission.TIER_READ)
def index(caller: Caller) -> Response:
    """Every tier, the highest first."""
    del caller
    return _shown(NewTier())


@bp.post("")
@lab_page(Permission.TIER_MANAGE, fresh=True)
def add(caller: Caller) -> Response:
    """Define a tier."""
    form = NewTier()
    made = None
    if form.is_sent_well():
        made = form.attempt(caller, lambda: _add(caller, form))
    if made is None:
        return _shown(form)
    return done(url_for("admin_tiers.index"), f"Tier {made.name} has been added with rank {made.rank}.")


@bp.post("/<name>/renewing")
@lab_page(Permission.TIER_MANAGE, fresh=True)
def renewing(caller: Caller, name: str) -> Response:
    """Say whether renewing takes a report."""
    form = Renewing()
    needed = form.report.data == "yes"
    if not carried_out(form, caller, lambda: tiers.edit(resources(), caller, name, report_to_renew=needed)):
        return _shown(NewTier(formdata=None), form)
    return done(url_for("admin_tiers.index"), f"Renewing {name} now takes {'a' if needed else 'no'} report.")


def _add(caller: Caller, form: NewTier) -> tiers.Tier:
    rank, report = int(form.rank.data or 0), form.report_to_renew.data
    return tiers.add(resources(), caller, form.name.data, rank, report_to_renew=report)


def _shown(form: NewTier, renewing: Renewing | None = None) -> Response:
    use = resources()
    with use.database.reading() as session:
        known = [
            (tier, tiers.needs_second_person(session, tier, use.settings.second_person_tier))
            for tier in reversed(tiers.ranked(session))
        ]
    return render("admin/tiers/index.html", status(renewing or form), form=form, renewing=renewing, tiers=known)
