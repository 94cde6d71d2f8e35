"""The account behind a token, as `hf auth whoami` and `hf auth login` ask for it."""

from flask import Blueprint, Response

from server.domain.callers import Caller
from server.domain.identity import tokens
from server.domain.permissions import Permission
from server.web.hub import pages
from server.web.identity import allow, resources

bp = Blueprint("hub_account", __name__, url_prefix="/api")


@bp.get("/whoami-v2")
@allow(Permission.ME_READ)
def whoami(caller: Caller) -> Response:
    """Whose token it is, and under which name the client keeps it."""
    with resources().database.reading() as session:
        name = tokens.of_caller(session, caller).name
    return pages.answer(
        {
            "type": "user",
            "id": caller.person,
            "name": caller.person,
            "fullname": caller.person,
            "orgs": [{"name": caller.organization}],
            "auth": {"type": "access_token", "accessToken": {"displayName": name, "role": "read"}},
        }
    )
