"""Who one is to a server, and what one may have there: login, logout, whoami, stages, tokens, forget."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from weightgate import asking, credentials, device, state, workload
from weightgate.asking import printable
from weightgate.cli.identity import Chosen, with_identity
from weightgate.cli.surroundings import Surroundings, client_of, end, with_server
from weightgate.client import Client
from weightgate.http import Server
from weightgate.verdicts import Ended, WrongUse


@click.command()
@click.option("--publish", is_flag=True, help="Ask for a token that can publish checkpoints as well.")
@with_identity
@with_server
@click.option("--keyring", "in_keyring", is_flag=True, help="Store the token in the system's keyring, not in a file.")
@click.pass_context
def login(
    context: click.Context, /, publish: bool, identity: Chosen | None, endpoint: str | None, token_file: str | None,
    ca: str | None, in_keyring: bool,
) -> None:  # fmt: skip
    """Get a token for this machine, and store it in a file that only you can read, or in the system's keyring.

    You approve it in the portal, on any device. A token that you have already is stored with --token-file FILE (- for
    standard input), if the server knows it. With --oidc, a pipeline or a pod gets one for 15 minutes by its own
    identity token, if an owner trusts it in the portal.
    """
    around: Surroundings = context.obj
    try:
        if endpoint is None:
            raise WrongUse("no_endpoint", "Which server?", "Use --endpoint, or set WEIGHTGATE_ENDPOINT.")
        server = Server(endpoint, ca=ca)
        if identity is not None and (publish or token_file is not None):
            raise WrongUse("usage", "--oidc cannot be used with --publish or --token-file.", "Use one of them.")
        if identity is not None:
            token = workload.exchange(server, identity.told(around.environment, endpoint))
        else:
            token = _approved(server, around, publish) if token_file is None else _told(token_file)
        me = asking.get(Server(endpoint, token, ca=ca), "/api/v1/me")
        credentials.store(state.folder(around.environment), endpoint, token, in_keyring=in_keyring)
    except Ended as ended:
        context.exit(end(ended))
    person, organization = printable(me.get("person")), printable(me.get("organization"))
    until = "" if identity is None else f" until {printable((me.get('token') or {}).get('expires_at'))}"
    click.echo(f"Logged in to {endpoint} as {person} of {organization}{until}.")


@click.command()
@click.option("--endpoint", metavar="URL", help="The server's address [the newest login's].")
@click.pass_context
def logout(context: click.Context, endpoint: str | None) -> None:
    """Delete the stored token. It stays valid: revoke it in the portal if nobody should use it any more."""
    try:
        whose = credentials.remove(state.folder(context.obj.environment), endpoint)
    except Ended as ended:
        context.exit(end(ended))
    click.echo(f"The token for {whose} has been deleted from this machine.")


@click.command()
@with_server
@click.option("--json", "as_json", is_flag=True, help="Print the server's answer.")
@click.pass_context
def whoami(context: click.Context, /, as_json: bool, **where: Any) -> None:
    """Show whose token this is, and until when access lasts."""
    _show(context, as_json, where, Client.whoami, _me_in_lines)


@click.command()
@with_server
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
@click.pass_context
def stages(context: click.Context, /, as_json: bool, **where: Any) -> None:
    """List every stage that you can see, and why you cannot download it where you cannot."""
    _show(context, as_json, where, Client.stages, lambda items: [_stage_in_a_line(item) for item in items])


@click.command()
@with_server
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
@click.pass_context
def tokens(context: click.Context, /, as_json: bool, **where: Any) -> None:
    """List your tokens, without their secrets."""
    _show(context, as_json, where, Client.tokens, lambda items: [_token_in_a_line(item) for item in items])


@click.command("credentials")
@click.argument("stage", metavar="MODEL/STAGE")
@with_identity
@with_server
@click.pass_context
def s3_keys(context: click.Context, /, stage: str, identity: Chosen | None, **where: Any) -> None:
    """Print keys for tools that read from S3, as JSON. The AWS CLI, boto3 and rclone run this themselves.

    In ~/.aws/config: credential_process = weightgate credentials MODEL/STAGE

    With --oidc, they are for this workload's identity token, and no login is needed.
    """
    environment = context.obj.environment

    def question(client: Client) -> dict[str, str]:
        return client.s3_keys(stage, None if identity is None else identity.told(environment, client.server().endpoint))

    # A refusal goes to standard error as a sentence: that is what these tools show of it.
    _show(context, False, where, question, _for_aws)


@click.command()
@click.argument("endpoint", metavar="URL")
@click.pass_context
def forget(context: click.Context, endpoint: str) -> None:
    """Forget the manifest key of the server at URL: only if another server has taken its address."""
    try:
        Client(environment=context.obj.environment).forget(endpoint)
    except Ended as ended:
        context.exit(end(ended))
    click.echo(f"The manifest key of {endpoint} has been forgotten.")


def _show(
    context: click.Context,
    as_json: bool,
    where: dict[str, Any],
    question: Callable[[Client], Any],
    in_lines: Callable[[Any], list[str]],
) -> None:
    try:
        said = question(client_of(context.obj, **where))
    except Ended as ended:
        context.exit(end(ended, as_json=as_json))
    click.echo(json.dumps(said) if as_json else "\n".join(in_lines(said)))


def _for_aws(keys: dict[str, str]) -> list[str]:
    return [json.dumps({"Version": 1, **keys})]


def _approved(server: Server, around: Surroundings, publish: bool) -> str:
    begun = device.begin(server, publishing=publish)
    click.echo(f"Open {begun.page}\nand approve the code {begun.user_code}. Waiting …", err=True)
    return device.fetch(server, begun, around.pause)


def _told(token_file: str) -> str:
    if token_file == "-":  # noqa: S105  # standard input
        return sys.stdin.read(credentials.TOKEN_BYTES_AT_MOST).strip()
    return credentials.read_token_file(Path(token_file))


def _me_in_lines(me: dict[str, Any]) -> list[str]:
    token = me.get("token") or {}
    scopes = ", ".join(token.get("scopes", []))
    said = [
        f"{me.get('person')}, {me.get('role')} of {me.get('organization')}",
        f"token {token.get('name')} ({token.get('id')}): {scopes}; expires {token.get('expires_at')}",
        *(f"clearance: {one['tier']} on {one['model']} until {one['expires_at']}" for one in me.get("clearances", [])),
    ]
    return [printable(line) for line in said]


def _stage_in_a_line(stage: dict[str, Any]) -> str:
    refusal = stage.get("refusal") or {"title": "cannot be downloaded"}
    may = "can be downloaded" if stage.get("may_download") else printable(refusal.get("title"))
    return f"{printable(stage.get('name')):<24} {printable(stage.get('state')):<10} {may}"


def _token_in_a_line(token: dict[str, Any]) -> str:
    ends = f"revoked {token['revoked_at']}" if token.get("revoked_at") else f"expires {token.get('expires_at')}"
    scopes = ", ".join(token.get("scopes", []))
    return printable(f"{token.get('id')}  {token.get('name')}: {scopes}; {ends}")
