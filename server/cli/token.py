"""Tokens: create, list, rotate, revoke, take over."""

from datetime import timedelta

import click

from server.cli.terminal import Instance, acting, plain, show, show_list, with_json
from server.domain.callers import Caller
from server.domain.identity import tokens
from server.domain.identity.tokens import NewToken
from server.domain.paging import every
from server.domain.permissions import Scope


@click.group()
def token() -> None:
    """Manage API tokens."""


@token.command()
@click.argument("name")
@click.option(
    "--scope", "scopes", type=click.Choice([str(s) for s in Scope]), multiple=True, required=True,
    help="A scope of the token. Repeatable.",
)  # fmt: skip
@click.option("--days", type=int, default=30, show_default=True, help="The number of days it is valid.")
@click.option("--network", "networks", multiple=True, help="Allow only this network, such as 192.0.2.0/24. Repeatable.")
@with_json
@acting
def create(
    instance: Instance,
    caller: Caller,
    name: str,
    scopes: tuple[str, ...],
    days: int,
    networks: tuple[str, ...],
    as_json: bool,
) -> None:
    """Create a token for yourself. Prints it once."""
    lifetime = timedelta(days=min(days, 10_000))
    made = tokens.create(instance.use, caller, name, [Scope(scope) for scope in scopes], lifetime, networks)
    _show_new(made, as_json)


@token.command("list")
@with_json
@acting
def list_(instance: Instance, caller: Caller, as_json: bool) -> None:
    """List the tokens you can see, newest first."""
    with instance.use.database.reading() as session:
        found = every(lambda part: tokens.visible(session, caller, part))
    rows = [(t.public_id, t.name, t.scopes, t.networks, t.expires_at, t.revoked_at) for t in found]
    show_list(as_json, ("id", "name", "scopes", "networks", "expires_at", "revoked_at"), rows)


@token.command()
@click.argument("token_id")
@with_json
@acting
def rotate(instance: Instance, caller: Caller, token_id: str, as_json: bool) -> None:
    """Replace a token. The old one works for another 24 hours."""
    _show_new(tokens.rotate(instance.use, caller, token_id), as_json)


@token.command()
@click.argument("token_id")
@with_json
@acting
def revoke(instance: Instance, caller: Caller, token_id: str, as_json: bool) -> None:
    """Revoke a token immediately."""
    tokens.revoke(instance.use, caller, token_id)
    show(as_json, {"id": token_id, "revoked": True}, f"Token {token_id} has been revoked.")


@token.command("take-over")
@click.argument("token_id")
@with_json
@acting
def take_over(instance: Instance, caller: Caller, token_id: str, as_json: bool) -> None:
    """Take over a token of your organization. It then acts for you."""
    tokens.take_over(instance.use, caller, token_id)
    show(as_json, {"id": token_id, "acts_for": caller.person}, f"Token {token_id} now acts for {caller.person}.")


def _show_new(made: NewToken, as_json: bool) -> None:
    body = {"id": made.token.public_id, "token": made.text, "expires_at": plain(made.token.expires_at)}
    show(as_json, body, f"Token {made.token.public_id}, shown only once:\n{made.text}")


COMMANDS = [token]
