"""Kept forms: what was typed when the session had ended, given back after signing in."""

import orjson
from flask import Blueprint, Response, flash, url_for

from server.domain.accounts import ceremonies
from server.domain.accounts.ceremonies import Kind
from server.domain.callers import Caller
from server.domain.errors import NotPossible
from server.domain.permissions import Permission
from server.web.identity import resources
from server.web.portal.kit import cookies
from server.web.portal.kit.auth import page
from server.web.portal.kit.refused import local_path
from server.web.portal.kit.rendering import go_to, render

bp = Blueprint("kept_forms", __name__)


@bp.get("/account/kept-form")
@page(Permission.ACCOUNT_MANAGE)
def show(caller: Caller) -> Response:
    """What was typed, and the way back to its form: sent there without a token, it is shown and not acted on."""
    del caller
    use, secret = resources(), cookies.ceremony(Kind.KEPT_FORM)
    try:
        with use.database.reading() as session:
            kept = orjson.loads(ceremonies.running(session, use, secret, Kind.KEPT_FORM).challenge or b"")
    except NotPossible:
        flash("No unsent form is kept in this browser.", "info")
        return go_to(url_for("home.show"))
    return render(
        "account/kept_form.html", action=local_path(kept["action"]), fields=kept["fields"],
        confirmed=kept.get("confirmed", False),
    )  # fmt: skip
