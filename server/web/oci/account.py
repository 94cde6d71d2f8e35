"""Signing in, as container tools do it: they ask who we are, are sent for a token, and come back with it."""

from flask import Blueprint, Response, request

from server.domain.callers import Caller
from server.domain.permissions import Permission
from server.web.identity import allow
from server.web.oci import answers, refusals
from server.web.oci.credentials import ANONYMOUS, as_bearer

bp = Blueprint("oci_account", __name__)
LIFETIME_SECONDS = 300  # after which the tools ask again; the token's own end is looked at each time


@bp.get("/v2/")
@allow(Permission.STAGE_READ)
def base(caller: Caller) -> Response:  # noqa: ARG001  # whoever it is
    """Whether this is a registry: yes, to everybody who has been for a token."""
    if "Authorization" not in request.headers:
        response = refusals.answer(401, "Send a token: as the password of any user.", "UNAUTHORIZED")
        refusals.challenge(response)  # every conversation begins so: no refusal that is worth a note
        return response
    return answers.json_of({})


@bp.get(refusals.TOKENS)
@allow(Permission.STAGE_READ)
def token(caller: Caller) -> Response:
    """A bearer token for the user's password. What it may read is decided when it is read, so the scope is not."""
    given = ANONYMOUS
    if caller.organization_id is not None:
        given = (as_bearer(request.headers["Authorization"]) or "").partition(" ")[2]
    response = answers.json_of({"token": given, "access_token": given, "expires_in": LIFETIME_SECONDS})
    response.headers["Cache-Control"] = "no-store"
    return response
