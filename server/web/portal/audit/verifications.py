"""Verifications: "verify now", how far it has come, and what was found."""

from flask import Blueprint, Response, flash, redirect, url_for

from server.domain import verifications
from server.domain.callers import Caller
from server.domain.errors import NotPossible
from server.domain.permissions import Permission
from server.web.identity import resources
from server.web.portal.door import page
from server.web.portal.forms import Form
from server.web.portal.paging import next_cursor, part
from server.web.portal.rendering import as_page, render

bp = Blueprint("audit_verifications", __name__, url_prefix="/audit/verifications")
REFRESH_SECONDS = 2


class Request(Form):
    """Nothing but the button."""


@bp.get("")
@page(Permission.LOG_AUDIT)
def index(caller: Caller) -> Response:
    """The runs, newest first; while one waits or runs, the page loads itself anew."""
    return _page(caller, Request())


@bp.post("")
@page(Permission.LOG_AUDIT)
def create(caller: Caller) -> Response:
    """Ask the worker to verify all logs now."""
    form = Request()
    if not form.is_sent_well():
        return _page(caller, form, 422)
    if form.attempt(caller, lambda: verifications.request(resources(), caller)) is None:
        return _page(caller, form, 409 if isinstance(form.refused, NotPossible) else 422)
    flash("The worker verifies the log now. This page follows it.", "done")
    return as_page(redirect(url_for("audit_verifications.index"), 303))  # type: ignore[arg-type]


def _page(caller: Caller, form: Request, status: int = 200) -> Response:
    use = resources()
    with use.database.reading() as session:
        found = verifications.listed(session, caller, part())
        waiting = next((run for run in found.items if run.ended_at is None), None)
        response = render(
            "audit/verifications/index.html", status, form=form, found=found, next_cursor=next_cursor(found),
            waiting=waiting, now=use.clock(),
        )  # fmt: skip
    if waiting is not None and status == 200:
        response.headers["Refresh"] = str(REFRESH_SECONDS)
    return response
