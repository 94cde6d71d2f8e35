"""Requests: asking for access, and what has become of what was asked."""

from collections.abc import Collection
from datetime import datetime, timedelta

from flask import Blueprint, Response, request, url_for
from sqlalchemy.orm import Session
from wtforms import Field, IntegerField, SelectMultipleField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than its stubs
from wtforms.validators import NumberRange, Optional, ValidationError
from wtforms.widgets import CheckboxInput, HiddenInput, ListWidget

from server.domain.access import access_requests, ladder
from server.domain.access.access_requests import AccessRequest
from server.domain.access.ladder import Step
from server.domain.audit.log_entries import KEY_AT_MOST
from server.domain.callers import Caller
from server.domain.permissions import Permission
from server.domain.release import tiers
from server.web.identity import resources
from server.web.portal.kit import paging
from server.web.portal.kit.forms import Act, Form, carried_out, date, end_of, last_day, long_text, status
from server.web.portal.kit.rendering import done, render
from server.web.portal.partner.partners import partner_page

bp = Blueprint("request_pages", __name__, url_prefix="/requests")
ONE = "/<int:request_id>"
PROPOSED = timedelta(days=180)


def _any(_: Form, field: Field) -> None:
    """At least one; InputRequired would have browsers demand every box."""
    if not field.data:
        raise ValidationError("Choose at least one stage.")


class AccessForm(Form):
    """What one's organization needs, what for, and until when. The tier follows from the stages."""

    stages = SelectMultipleField(
        "Stages",
        [_any],
        description="Of one model. Smaller stages that need the same tier or a lower one are included.",
        widget=ListWidget(prefix_label=False),
        option_widget=CheckboxInput(),
    )
    purpose = long_text(
        "What you need access for",
        "The lab decides based on this. What do you study, and who is working on it?",
        rows=6,
    )
    until = date("Last day", "The last day you need access, up to two years from now.")
    replaces = IntegerField("Replaces", [Optional(), NumberRange(1, KEY_AT_MOST)], widget=HiddenInput())

    def offer(self, session: Session, caller: Caller) -> list[Step]:
        """Only stages that a request can open."""
        found = ladder.requestable(session, resources(), caller, resources().clock())
        self.stages.choices = [
            SelectChoice(step.full_name, f"{step.full_name}, tier {step.stage.tier}") for step in found
        ]
        return found

    def fill(self, asked: AccessRequest, offered: list[Step], at: datetime, open_to: Collection[str]) -> None:
        """As it was asked for before, as far as it still can be."""
        self.stages.data = [
            step.full_name for step in offered if step.stage.model == asked.model.name and step.stage.tier in open_to
        ]
        self.purpose.data = asked.purpose
        if asked.wanted_until > at:
            self.until.data = last_day(asked.wanted_until)
        self.replaces.data = asked.id if asked.state == "open" else None


@bp.get("")
@partner_page(Permission.ACCESS_REQUEST_READ)
def index(caller: Caller) -> Response:
    """What one's organization has asked for, newest first."""
    use = resources()
    with use.database.reading() as session:
        found = access_requests.visible(session, caller, paging.part())
    return render(
        "partner/access_requests/index.html", requests=found.items, args=request.args,
        next_cursor=paging.next_cursor(found), now=use.clock(),
    )  # fmt: skip


@bp.get("/new")
@partner_page(Permission.ACCESS_REQUEST_CREATE)
def new(caller: Caller) -> Response:
    """The form; filled in as it was an `earlier` request, or as the page of a `stage` led here."""
    use, form = resources(), AccessForm(formdata=None)
    at = use.clock()
    form.until.data = (at + PROPOSED).date()
    with use.database.reading() as session:
        offered = form.offer(session, caller)
        named = next((step for step in offered if step.full_name == request.args.get("stage")), None)
        if (asked := _earlier(session, caller, named)) is not None:
            form.fill(asked, offered, at, {tier.name for tier in tiers.ranked(session) if tier.rank <= asked.tier.rank})
        if named is not None:
            form.stages.data = sorted({*(form.stages.data or []), named.full_name})
    return render("partner/access_requests/new.html", form=form)


@bp.post("/new")
@partner_page(Permission.ACCESS_REQUEST_CREATE)
def create(caller: Caller) -> Response:
    """Ask for access."""
    use, form, made = resources(), AccessForm(), None
    with use.database.reading() as session:
        form.offer(session, caller)
    if form.is_sent_well():
        made = form.attempt(caller, lambda: _ask(caller, form))
    if made is None:
        return render("partner/access_requests/new.html", status(form), form=form)
    return done(url_for(".show", request_id=made.id), "Request sent. We will email you when the lab has decided.")


def _ask(caller: Caller, form: AccessForm) -> AccessRequest:
    use = resources()
    with use.database.reading() as session:
        model, tier = access_requests.for_stages(session, form.stages.data or [])
    return access_requests.create(
        use, caller, model, tier, purpose=form.purpose.data, wanted_until=end_of(form.until.data),
        replaces=form.replaces.data,
    )  # fmt: skip


def _earlier(session: Session, caller: Caller, named: Step | None) -> AccessRequest | None:
    """The request that the address names, else the open one for the model of the stage that it names."""
    number = request.args.get("earlier", "")
    if number.isascii() and number.isdigit() and int(number) <= KEY_AT_MOST:
        return access_requests.get(session, caller, int(number))
    return None if named is None else access_requests.open_for(session, caller, named.stage.model)


@bp.get(ONE)
@partner_page(Permission.ACCESS_REQUEST_READ)
def show(caller: Caller, request_id: int) -> Response:
    """One request, and its history."""
    return _shown(caller, request_id, Act())


@bp.post(f"{ONE}/withdraw")
@partner_page(Permission.ACCESS_REQUEST_CREATE)
def withdraw(caller: Caller, request_id: int) -> Response:
    """Take a request back."""
    form = Act()
    if not carried_out(form, caller, lambda: access_requests.withdraw(resources(), caller, request_id)):
        return _shown(caller, request_id, form)
    return done(url_for(".show", request_id=request_id), "Request withdrawn.")


def _shown(caller: Caller, request_id: int, form: Form) -> Response:
    use = resources()
    with use.database.reading() as session:
        found = access_requests.get(session, caller, request_id)
    at = use.clock()
    clearance = None if found.clearance is None else found.clearance.state_at(at)
    return render("partner/access_requests/show.html", status(form), form=form, asked=found, clearance=clearance)
