"""Exposure: "who could have taken this?", answered from the log."""

from datetime import timedelta
from typing import Any

from flask import Blueprint, Response, request
from wtforms import HiddenField, SelectField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than its stubs
from wtforms.validators import AnyOf, Optional, ValidationError

from server.domain.audit import exposure, exposure_forms
from server.domain.audit.exposure import WINDOW_AT_MOST
from server.domain.callers import Caller
from server.domain.downloads import outlasting
from server.domain.permissions import Permission
from server.web.identity import resources
from server.web.portal.kit.auth import page
from server.web.portal.kit.filters import day, of_address, start_of
from server.web.portal.kit.forms import Form, end_of
from server.web.portal.kit.rendering import render, saved

bp = Blueprint("audit_exposure", __name__, url_prefix="/audit/exposure")
DEFAULT_DAYS = 30


class Question(Form):
    """Which stage, and in which days."""

    stage = SelectField("Stage")
    since = day("From", required=True)
    until = day("To", required=True)
    format = HiddenField(validators=[Optional(), AnyOf(["csv"], "There is no such format.")])

    def validate_until(self, field: Any) -> None:
        if not field.data or not self.since.data:
            return
        if field.data < self.since.data:
            raise ValidationError("The last day is before the first.")
        if field.data - self.since.data >= WINDOW_AT_MOST:
            raise ValidationError(f"Choose at most {WINDOW_AT_MOST.days} days.")


@bp.get("")
@page(Permission.LOG_AUDIT)
def index(caller: Caller) -> Response:
    """The question, and with all three parts of it the answer: a page that can be printed, or a table to save."""
    use = resources()
    form: Question = of_address(Question)
    with use.database.reading() as session:
        form.stage.choices = [SelectChoice(name, name) for name in exposure.stage_names(session, caller)]
        if not {"stage", "since", "until"} <= set(request.args):
            form.until.data = form.until.data or use.clock().date()
            form.since.data = form.since.data or form.until.data - timedelta(days=DEFAULT_DAYS - 1)
            return render("audit/exposure/index.html", form=form, found=None)
        if not form.validate():
            return render("audit/exposure/index.html", 422, form=form, found=None)
        found = exposure.exposure(
            session, caller, use.settings.second_person_tier, form.stage.data, start_of(form.since.data),
            end_of(form.until.data),
        )  # fmt: skip
        if form.format.data == "csv":
            name = f"exposure-{found.stage.replace('/', '-')}-{form.since.data}-{form.until.data}.csv"
            return saved("".join(exposure_forms.as_csv(found)), "text/csv", name)
        return render(
            "audit/exposure/index.html", form=form, found=found, now=use.clock(), args=request.args,
            outlasting=outlasting.sentence(use.settings),
        )  # fmt: skip
