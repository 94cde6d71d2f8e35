"""Tokens: create, list, rotate, revoke, take over."""

from datetime import timedelta

import click

from server.cli.terminal import Instance, acting, plain, show, show_list, with_json
from server.domain.callers import Caller
from server.domain.identity import tokens
from server.domain.identity.tokens import NewToken
from server.domain.paging import Slice
from server.domain.permissions import Scope


@click.group()
def token() -> None:
    """API tokens, for scripts."""


@token.command()
@click.argument("name")
@click.option(
    "--scope", "scopes", type=click.Choice([str(s) for s in Scope]), multiple=True, required=True,
    help="What it may be used for; repeatable.",
)  # fmt: skip
@click.option("--days", type=int, default=30, show_default=True, help="How long it works.")
@click.option("--network", "networks", multiple=True, help="Work only from here, like 192.0.2.0/24; repeatable.")
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
    """Make a token for yourself; prints it, once."""
    lifetime = timedelta(days=min(days, 10_000))
    made = tokens.create(instance.use, caller, name, [Scope(scope) for scope in scopes], lifetime, networks)
    _show_new(made, as_json)


@token.command("list")
@with_json
@acting
def list_(instance: Instance, caller: Caller, as_json: bool) -> None:
    """List the tokens you may see, newest first."""
    with instance.use.database.reading() as session:
        found = tokens.visible(session, caller, Slice(10_000)).items
    rows = [(t.public_id, t.name, t.scopes, t.networks, t.expires_at, t.revoked_at) for t in found]
    show_list(as_json, ("id", "name", "scopes", "networks", "expires_at", "revoked_at"), rows)


@token.command()
@click.argument("token_id")
@with_json
@acting
def rotate(instance: Instance, caller: Caller, token_id: str, as_json: bool) -> None:
    """Make a successor; the old token works for 24 hours more."""
    _show_new(tokens.rotate(instance.use, caller, token_id), as_json)


@token.command()
@click.argument("token_id")
@acting
def revoke(instance: Instance, caller: Caller, token_id: str) -> None:
    """Make a token useless from its next request on."""
    tokens.revoke(instance.use, caller, token_id)
    show(False, {}, f"Token {token_id} is revoked.")


@token.command("take-over")
@click.argument("token_id")
@acting
def take_over(instance: Instance, caller: Caller, token_id: str) -> None:
    """Become the one whom a token of your organization acts for."""
    tokens.take_over(instance.use, caller, token_id)
    show(False, {}, f"Token {token_id} now acts for {caller.person}.")


def _show_new(made: NewToken, as_json: bool) -> None:
    body = {"id": made.token.public_id, "token": made.text, "expires_at": plain(made.token.expires_at)}
    show(as_json, body, f"Token {made.token.public_id}, shown this once:\n{made.text}")


COMMANDS = [token]
