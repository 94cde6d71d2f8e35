"""Appearance: light, dark, or as the visitor's system has it; kept in a cookie, for nobody but their browser."""

from flask import Blueprint, Response, request

from server.domain.callers import Caller
from server.domain.errors import InvalidRequest
from server.web.identity import resources
from server.web.portal.kit import cookies
from server.web.portal.kit.auth import public_page
from server.web.portal.kit.refused import local_path
from server.web.portal.kit.rendering import APPEARANCE_COOKIE, APPEARANCES, go_to

bp = Blueprint("appearance", __name__)
KEPT_SECONDS = 365 * 86_400


@bp.post("/appearance")
@public_page
def choose(caller: Caller) -> Response:
    """Keep the choice for a year, and go back to the page that it was made on."""
    del caller  # everybody has one
    chosen = request.form.get("appearance", "")
    if chosen not in APPEARANCES:
        raise InvalidRequest(
            "There is no such appearance.", next_step="Choose light, dark or system in the menu of any page."
        )
    response = go_to(local_path(request.form.get("next")))
    response.set_cookie(
        APPEARANCE_COOKIE, chosen, max_age=KEPT_SECONDS, path="/", httponly=True, samesite="Lax",
        secure=cookies.is_secure(resources()),
    )  # fmt: skip
    return response
