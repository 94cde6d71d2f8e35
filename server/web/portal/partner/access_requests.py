"""Requests: asking for access, and what has become of what was asked."""

from datetime import timedelta

from flask import Blueprint, Response, request, url_for
from sqlalchemy.orm import Session
from wtforms import SelectField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than its stubs
from wtforms.validators import InputRequired

from server.domain.access import access_requests, rule
from server.domain.access.ladder import STAGES_AT_MOST
from server.domain.callers import Caller
from server.domain.paging import Slice
from server.domain.permissions import Permission
from server.domain.release import tiers
from server.web.identity import resources
from server.web.portal.kit import paging
from server.web.portal.kit.forms import Act, Form, carried_out, date, end_of, long_text, status
from server.web.portal.kit.rendering import done, render
from server.web.portal.partner.partners import partner_page

bp = Blueprint("request_pages", __name__, url_prefix="/requests")
ONE = "/<int:request_id>"
PROPOSED = timedelta(days=180)


class AccessForm(Form):
    """What one's organization needs, what for, and until when."""

    model = SelectField("Model", [InputRequired("Choose a model.")])
    tier = SelectField(
        "Tier", [InputRequired("Choose a tier.")], description="A higher tier includes everything that a lower "
                                                               "tier gives access to."
    )  # fmt: skip
    purpose = long_text(
        "What you need access for", "The lab decides based on this. What do you study, and who is working on it?"
    )
    until = date("Last day", "The last day you need access, up to two years from now.")

    def offer(self, session: Session, caller: Caller) -> None:
        """Only models and tiers that the caller may know of."""
        rows = rule.visible_stages(session, resources(), caller, Slice(STAGES_AT_MOST)).items
        self.model.choices = [SelectChoice(model) for model in dict.fromkeys(row.model for row in rows)]
        self.tier.choices = [SelectChoice(tier.name) for tier in tiers.ranked(session)]


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
    """The form; model and tier are chosen already when a page that misses them led here."""
    use, form = resources(), AccessForm(formdata=None)
    with use.database.reading() as session:
        form.offer(session, caller)
    for field, name in ((form.model, "model"), (form.tier, "tier")):
        field.data = request.args.get(name)  # none of the choices where it names something else
    form.until.data = (use.clock() + PROPOSED).date()
    return render("partner/access_requests/new.html", form=form)


@bp.post("/new")
@partner_page(Permission.ACCESS_REQUEST_CREATE)
def create(caller: Caller) -> Response:
    """Ask for access."""
    use, form, made = resources(), AccessForm(), None
    with use.database.reading() as session:
        form.offer(session, caller)
    if form.is_sent_well():
        made = form.attempt(
            caller,
            lambda: access_requests.create(
                use, caller, form.model.data, form.tier.data, purpose=form.purpose.data,
                wanted_until=end_of(form.until.data),
            ),
        )  # fmt: skip
    if made is None:
        return render("partner/access_requests/new.html", status(form), form=form)
    return done(url_for(".show", request_id=made.id), "Request sent. We will email you when the lab has decided.")


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
