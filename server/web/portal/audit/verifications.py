"""Verifications: "verify now", how far it has come, and what was found."""

from flask import Blueprint, Response, url_for

from server.domain.audit import verifications
from server.domain.callers import Caller
from server.domain.permissions import Permission
from server.web.identity import resources
from server.web.portal.kit.auth import page
from server.web.portal.kit.forms import Act, Form, carried_out, status
from server.web.portal.kit.paging import next_cursor, part
from server.web.portal.kit.rendering import done, render

bp = Blueprint("audit_verifications", __name__, url_prefix="/audit/verifications")
REFRESH_SECONDS = 2


@bp.get("")
@page(Permission.LOG_AUDIT)
def index(caller: Caller) -> Response:
    """The runs, newest first; while one waits or runs, the page loads itself anew."""
    return _page(caller, Act())


@bp.post("")
@page(Permission.LOG_AUDIT)
def create(caller: Caller) -> Response:
    """Ask the worker to verify all logs now."""
    form = Act()
    if not carried_out(form, caller, lambda: verifications.request(resources(), caller)):
        return _page(caller, form)
    return done(url_for("audit_verifications.index"), "The worker is verifying the log. This page shows its progress.")


def _page(caller: Caller, form: Form) -> Response:
    use = resources()
    with use.database.reading() as session:
        found = verifications.listed(session, caller, part())
        waiting = next((run for run in found.items if run.ended_at is None), None)
        response = render(
            "audit/verifications/index.html", status(form), form=form, found=found, next_cursor=next_cursor(found),
            waiting=waiting, now=use.clock(),
        )  # fmt: skip
    if waiting is not None and response.status_code == 200:
        response.headers["Refresh"] = str(REFRESH_SECONDS)
    return response
