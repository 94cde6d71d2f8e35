"""Renewals: one page from the mail to the request, and its one button."""

from flask import Blueprint, Response, url_for

from server.domain.access import renewals
from server.domain.callers import Caller
from server.domain.permissions import Permission
from server.web.identity import resources
from server.web.portal.kit.forms import Act, status
from server.web.portal.kit.rendering import done, render
from server.web.portal.partner.partners import partner_page

bp = Blueprint("renewal_pages", __name__, url_prefix="/requests/renew")


@bp.get("/<int:clearance_id>")
@partner_page(Permission.ACCESS_REQUEST_CREATE)
def form(caller: Caller, clearance_id: int) -> Response:
    """What would be asked for; looking at it asks for nothing."""
    return _shown(caller, clearance_id, Act())


@bp.post("/<int:clearance_id>")
@partner_page(Permission.ACCESS_REQUEST_CREATE)
def ask(caller: Caller, clearance_id: int) -> Response:
    """Ask for it."""
    form, made = Act(), None
    if form.is_sent_well():
        made = form.attempt(caller, lambda: renewals.ask(resources(), caller, clearance_id))
    if made is None:
        return _shown(caller, clearance_id, form)
    return done(
        url_for("request_pages.show", request_id=made.id), "Request sent. We will email you when the lab has decided."
    )


def _shown(caller: Caller, clearance_id: int, form: Act) -> Response:
    use = resources()
    at = use.clock()
    with use.database.reading() as session:
        renewal = renewals.of(session, caller, clearance_id, at)
        return render(
            "partner/renewals/form.html", status(form), form=form, renewal=renewal, clearance=renewal.clearance,
            state=renewal.clearance.state_at(at),
        )  # fmt: skip
