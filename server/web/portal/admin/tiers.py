"""Tiers: the list, and adding one."""

from flask import Blueprint, Response, url_for
from wtforms import IntegerField
from wtforms.validators import InputRequired, NumberRange

from server.domain.callers import Caller
from server.domain.permissions import Permission
from server.domain.release import tiers
from server.web.identity import resources
from server.web.portal.admin.lab import lab_page
from server.web.portal.kit.forms import Form, status, text
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
        made = form.attempt(caller, lambda: tiers.add(resources(), caller, form.name.data, int(form.rank.data or 0)))
    if made is None:
        return _shown(form)
    return done(url_for("admin_tiers.index"), f"Tier {made.name} has been added with rank {made.rank}.")


def _shown(form: NewTier) -> Response:
    use = resources()
    with use.database.reading() as session:
        known = [
            (tier, tiers.needs_second_person(session, tier, use.settings.second_person_tier))
            for tier in reversed(tiers.ranked(session))
        ]
    return render("admin/tiers/index.html", status(form), form=form, tiers=known)
