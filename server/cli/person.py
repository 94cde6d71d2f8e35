"""People: add, list, disable, enable, reset a password."""

import click

from server.cli.terminal import Instance, acting, console, show, show_list, with_json
from server.domain.callers import Caller
from server.domain.identity import email_addresses, people
from server.domain.paging import every
from server.domain.permissions import Role


@click.group()
def person() -> None:
    """Manage people, in partners and in the lab."""


@person.command()
@click.argument("email_of_person", metavar="EMAIL")
@click.option("--organization", required=True, help="Their organization's ID.")
@click.option("--name", required=True, help="Their full name.")
@click.option(
    "--role", type=click.Choice([str(role) for role in Role]), required=True,
    help="For a partner: owner or member. For the lab: admin, publisher or auditor.",
)  # fmt: skip
@with_json
@acting
def add(
    instance: Instance, caller: Caller, email_of_person: str, organization: str, name: str, role: str, as_json: bool
) -> None:
    """Add a person. Prints their first password and TOTP secret once."""
    password, totp_secret = people.add(instance.use, caller, organization, email_of_person, name, Role(role))
    email = email_addresses.stored(email_of_person)
    body = {"email": email, "password": password, "totp_secret": totp_secret}
    show(as_json, body, f"Added {email_addresses.shown(email)}. Hand these over securely. They are not shown again:")
    if not as_json:
        console.print(f"  password     {password}\n  TOTP secret  {totp_secret}", markup=False)


@person.command("list")
@with_json
@acting
def list_(instance: Instance, caller: Caller, as_json: bool) -> None:
    """List the people you can see."""
    with instance.use.database.reading() as session:
        found = every(lambda part: people.visible(session, caller, part))
    rows = [(p.email, p.name, p.organization.slug, p.role, p.created_at, p.disabled_at) for p in found]
    show_list(as_json, ("email", "name", "organization", "role", "created_at", "disabled_at"), rows)


@person.command()
@click.argument("email_of_person", metavar="EMAIL")
@with_json
@acting
def disable(instance: Instance, caller: Caller, email_of_person: str, as_json: bool) -> None:
    """Disable a person and revoke the tokens they created (keep one with `token take-over`)."""
    revoked = people.disable(instance.use, caller, email_of_person)
    body = {"email": email_of_person, "disabled": True, "tokens_revoked": revoked}
    show(as_json, body, f"{email_of_person} is disabled. Tokens revoked: {revoked}.")


@person.command()
@click.argument("email_of_person", metavar="EMAIL")
@with_json
@acting
def enable(instance: Instance, caller: Caller, email_of_person: str, as_json: bool) -> None:
    """Enable a disabled person."""
    people.enable(instance.use, caller, email_of_person)
    body = {"email": email_of_person, "disabled": False}
    show(as_json, body, f"{email_of_person} is enabled again. Revoked tokens stay revoked.")


@person.command("reset-password")
@click.argument("email_of_person", metavar="EMAIL")
@with_json
@acting
def reset_password(instance: Instance, caller: Caller, email_of_person: str, as_json: bool) -> None:
    """Give a person a new password. Prints it once."""
    password = people.reset_password(instance.use, caller, email_of_person)
    show(as_json, {"email": email_of_person, "password": password}, f"New password of {email_of_person}: {password}")


COMMANDS = [person]
