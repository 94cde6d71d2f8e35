"""Rehearsals: what an organization could download with a clearance that nobody has given yet."""

from datetime import timedelta
from typing import Any

from flask import Blueprint, Response, request
from wtforms import Field, SelectField

from server.domain.access import clearance_rehearsals
from server.domain.access.clearance_rehearsals import Rehearsal
from server.domain.callers import Caller
from server.domain.errors import InvalidRequest
from server.domain.identity import organizations
from server.domain.permissions import Permission
from server.domain.release import stages, tiers
from server.web.identity import resources
from server.web.portal.admin.lab import found, lab_page
from server.web.portal.kit.filters import day, of_address
from server.web.portal.kit.forms import Form, end_of, text
from server.web.portal.kit.rendering import render

bp = Blueprint("admin_rehearsals", __name__, url_prefix="/admin/clearances/rehearse")
PROPOSED = timedelta(days=180)


class Question(Form):
    """Which clearance; in the address, so that it can be sent to a colleague."""

    organization = text("Organization", 64, render_kw={"list": "organizations"})
    model = SelectField("Model")
    tier = SelectField("Tier")
    last_day = day("Last day", required=True)


@bp.get("")
@lab_page(Permission.LOG_AUDIT)
def show(caller: Caller) -> Response:
    """The question, and with all four parts of it the answer."""
    use = resources()
    form: Question = of_address(Question)
    with use.database.reading() as session:
        form.model.choices = {model.name: model.name for model in stages.all_models(session, caller)}
        form.tier.choices = {tier.name: tier.name for tier in tiers.ranked(session)}
        known = organizations.partners(session, caller, 200)
        if not {"organization", "model", "tier", "last_day"} <= set(request.args):
            form.last_day.data = form.last_day.data or (use.clock() + PROPOSED).date()
            return render("admin/rehearsals/show.html", form=form, known=known, rehearsal=None)
        answer = _answered(caller, session, form) if form.validate() else None
        return render(
            "admin/rehearsals/show.html", 422 if answer is None else 200, form=form, known=known, rehearsal=answer
        )


def _answered(caller: Caller, session: Any, form: Question) -> Rehearsal | None:
    """None where the form says what is wrong."""
    name: Field = form.organization
    if not found(name, lambda: organizations.find(session, caller, name.data)):
        return None
    try:
        return clearance_rehearsals.rehearse(
            session, resources(), caller, name.data, form.model.data, form.tier.data,
            expires_at=end_of(form.last_day.data),
        )  # fmt: skip
    except InvalidRequest as refused:
        form.last_day.errors = [*form.last_day.errors, refused.detail]
        return None
