"""Who one is to this server, and what one's organization may have."""

from typing import Any

from apiflask import APIBlueprint
from flask import Response

from server.domain.access import clearances
from server.domain.callers import Caller
from server.domain.identity import tokens
from server.domain.paging import Slice
from server.domain.permissions import Permission
from server.web.api.answers import Answer, answer, moment
from server.web.api.clearances import ClearanceAnswer, render_clearance
from server.web.identity import allow, resources

bp = APIBlueprint("me", __name__, url_prefix="/api/v1", tag="me")
CLEARANCES_AT_MOST = 100


class TokenInUse(Answer):
    id: str
    name: str
    scopes: list[str]
    expires_at: str


class Me(Answer):
    person: str
    role: str
    organization: str
    token: TokenInUse
    clearances: list[ClearanceAnswer]


@bp.get("/me")
@allow(Permission.ME_READ)
@bp.output(Me)
def me(caller: Caller) -> Response:
    """The caller, with organization, clearances, and the token's expiry."""
    use = resources()
    at = use.clock()
    with use.database.reading() as session:
        token = tokens.of_caller(session, caller)
        mine = clearances.own(session, caller, Slice(CLEARANCES_AT_MOST))
        body: dict[str, Any] = {
            "person": caller.person,
            "role": caller.role,
            "organization": caller.organization,
            "token": {
                "id": token.public_id,
                "name": token.name,
                "scopes": token.scopes.split(),
                "expires_at": moment(token.expires_at),
            },
            "clearances": [render_clearance(clearance, at) for clearance in mine.items],
        }
    return answer(body)
