"""People: add, list, approve and reject roles in the lab, disable, enable, reset a password."""

import click

from server.cli.terminal import Instance, acting, console, show, show_list, with_json
from server.domain.accounts import granting
from server.domain.callers import Caller
from server.domain.identity import email_addresses, people, role_grants
from server.domain.identity.people import Person
from server.domain.identity.role_grants import RoleGrant
from server.domain.paging import every
from server.domain.permissions import PARTNERS, STAFF, Role

ROLES = [str(role) for role in Role if role in PARTNERS | STAFF]


@click.group()
def person() -> None:
    """Manage people, in partners and in the lab."""


@person.command()
@click.argument("email_of_person", metavar="EMAIL")
@click.option("--organization", required=True, help="Their organization's ID.")
@click.option("--name", required=True, help="Their full name.")
@click.option(
    "--role", type=click.Choice(ROLES), required=True,
    help="For a partner: owner or member. For the lab: admin, publisher or auditor, which another admin approves.",
)  # fmt: skip
@with_json
@acting
def add(
    instance: Instance, caller: Caller, email_of_person: str, organization: str, name: str, role: str, as_json: bool
) -> None:
    """Add a person. Prints their first password and TOTP secret once.

    They must replace both in the portal before they can do anything else. In the lab, this only proposes the role:
    another admin must approve it.
    """
    password, totp_secret = granting.add(instance.use, caller, organization, email_of_person, name, Role(role))
    email = email_addresses.stored(email_of_person)
    body = {"email": email, "password": password, "totp_secret": totp_secret, "role": role}
    then = f"Another admin approves the role {role}: `person approve {email}`."
    if role in STAFF:
        body |= {"role": str(Role.PENDING), "proposed_role": role, "next": then}
    show(as_json, body, f"Added {email_addresses.shown(email)}. Hand these over securely. They are not shown again:")
    if not as_json:
        console.print(f"  password     {password}\n  TOTP secret  {totp_secret}", markup=False)
        console.print(
            f"Before anything else, they replace both: {instance.use.settings.public_url}/account", markup=False
        )
        if role in STAFF:
            console.print(then, markup=False)


@person.command("list")
@with_json
@acting
def list_(instance: Instance, caller: Caller, as_json: bool) -> None:
    """List the people you can see.

    For lab staff, also show who gave them their role and which role awaits approval.
    """
    with instance.use.database.reading() as session:
        found = every(lambda part: people.visible(session, caller, part))
        grants = role_grants.of_people(session, [one.id for one in found])
    rows = [
        (
            p.email, p.name, p.organization.slug, p.role, *_given(p, grants.get(p.id, [])), p.created_at, p.disabled_at,
        )
        for p in found
    ]  # fmt: skip
    columns = ("email", "name", "organization", "role", "role_given_by", "proposed_role", "created_at", "disabled_at")
    show_list(as_json, columns, rows)


def _given(about: Person, grants: list[RoleGrant]) -> tuple[str | None, str | None]:
    """Who gave a role in the lab, and which waits."""
    if not about.organization.is_lab:
        return None, None
    given = next((one.given_by for one in grants if one.approved_at is not None and one.role == about.role), None)
    waits = next((str(one.role) for one in grants if one.approved_at is None), None)
    return given or (None if about.role == Role.PENDING else "one person alone"), waits


@person.command()
@click.argument("email_of_person", metavar="EMAIL")
@click.option(
    "--role", type=click.Choice([str(role) for role in Role if role in STAFF]), required=True,
    help="What the person is to be: admin, publisher or auditor.",
)  # fmt: skip
@with_json
@acting
def propose(instance: Instance, caller: Caller, email_of_person: str, role: str, as_json: bool) -> None:
    """Propose another role for a person of the lab, who keeps theirs until another admin approves."""
    granting.propose(instance.use, caller, email_of_person, Role(role))
    body = {"email": email_of_person, "proposed_role": role}
    then = f"Another admin approves it: `person approve {email_of_person}`."
    show(as_json, body | {"next": then}, f"The role {role} is proposed for {email_of_person}. {then}")


@person.command()
@click.argument("email_of_person", metavar="EMAIL")
@with_json
@acting
def approve(instance: Instance, caller: Caller, email_of_person: str, as_json: bool) -> None:
    """Approve the role in the lab that another admin proposed for a person.

    Approve only if you know the person, and that nobody else can sign in as them.
    """
    grant = granting.approve(instance.use, caller, email_of_person)
    body = {"email": email_of_person, "role": str(grant.role)}
    show(as_json, body, f"{email_of_person} now has the role {grant.role}.")


@person.command()
@click.argument("email_of_person", metavar="EMAIL")
@with_json
@acting
def reject(instance: Instance, caller: Caller, email_of_person: str, as_json: bool) -> None:
    """Reject the role that is proposed for a person; your own proposal is withdrawn."""
    grant = granting.reject(instance.use, caller, email_of_person)
    body = {"email": email_of_person, "proposed_role": str(grant.role), "state": grant.closed_because}
    show(as_json, body, f"The role {grant.role} for {email_of_person} is {grant.closed_because}.")


@person.command()
@click.argument("email_of_person", metavar="EMAIL")
@click.option("--because", required=True, help="Why no second admin can approve it. The log keeps it permanently.")
@with_json
@acting
def restore(instance: Instance, caller: Caller, email_of_person: str, because: str, as_json: bool) -> None:
    """Make a person of the lab an admin by yourself, when no other admin is left who could approve it.

    This needs the database owner's password in the settings. `log verify` repeats it from then on.
    """
    granting.restore(instance.use, caller, email_of_person, because)
    body = {"email": email_of_person, "role": str(Role.ADMIN)}
    show(as_json, body, f"{email_of_person} is an admin. The log says that you alone restored this role, and why.")


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
