"""Reading tokens, and revoking one that has leaked. Tokens are made by people, never by a token."""

from typing import Annotated, Any

from apiflask import APIBlueprint
from flask import Response
from pydantic import Field

from server.domain.callers import Caller
from server.domain.identity import tokens
from server.domain.identity.tokens import Token
from server.domain.permissions import Permission
from server.web.api.answers import Answer, Body, Listing, ListQuery, listing, moment
from server.web.identity import allow, open_to_all, resources, stranger

bp = APIBlueprint("tokens", __name__, url_prefix="/api/v1", tag="tokens")


class TokenAnswer(Answer):
    id: str
    name: str
    scopes: list[str]
    networks: list[str]
    created_at: str
    expires_at: str
    revoked_at: str | None


class Tokens(Listing):
    items: list[TokenAnswer]


class LeakedToken(Body):
    token: Annotated[str, Field(max_length=200, description="The complete token, as found.")]


@bp.get("/tokens")
@allow(Permission.TOKEN_READ)
@bp.input(ListQuery, location="query", arg_name="query")
@bp.output(Tokens)
def index(caller: Caller, query: ListQuery) -> Response:
    """Your tokens; for owners, their organization's tokens; for staff, all tokens. Secrets are never included."""
    with resources().database.reading() as session:
        return listing(tokens.visible(session, caller, query.as_slice()), _render)


@bp.post("/tokens/leaked")
@open_to_all
@bp.input(LeakedToken, arg_name="leaked")
@bp.output({}, status_code=204)
def leaked(leaked: LeakedToken) -> Response:
    """Revoke a leaked token. The response is the same whether or not the token exists."""
    tokens.revoke_leaked(resources(), stranger(), leaked.token)
    return Response(status=204)


def _render(token: Token) -> dict[str, Any]:
    return {
        "id": token.public_id,
        "name": token.name,
        "scopes": token.scopes.split(),
        "networks": token.networks.split(),
        "created_at": moment(token.created_at),
        "expires_at": moment(token.expires_at),
        "revoked_at": moment(token.revoked_at),
    }
