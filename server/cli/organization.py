"""Organizations: add, rename, list, show, suspend, resume, limit."""

import click

from server.cli.hold import show_proposed
from server.cli.terminal import COUNT, LARGE_COUNT, Instance, acting, printable, show, show_list, show_one, with_json
from server.domain.callers import Caller
from server.domain.downloads import outlasting
from server.domain.identity import organizations, people
from server.domain.identity.organizations import HELD_AS, Organization
from server.domain.operation import carrying_out
from server.domain.paging import every
from server.domain.release import holds


@click.group()
def organization() -> None:
    """Manage partner organizations."""


@organization.command()
@click.argument("slug")
@click.option("--name", required=True, help="Its full name.")
@with_json
@acting
def add(instance: Instance, caller: Caller, slug: str, name: str, as_json: bool) -> None:
    """Add a partner organization with the ID SLUG."""
    added = organizations.add(instance.use, caller, slug, name)
    _show_named(instance, caller, added, as_json, f"Added {added.slug}. Next: `person add`.")


@organization.command()
@click.argument("slug")
@click.option("--name", required=True, help="Its new full name.")
@with_json
@acting
def rename(instance: Instance, caller: Caller, slug: str, name: str, as_json: bool) -> None:
    """Change the name of SLUG. The ID itself cannot be changed."""
    renamed = organizations.rename(instance.use, caller, slug, name)
    _show_named(instance, caller, renamed, as_json, f"{slug} is now named {printable(renamed.name)}.")


def _show_named(instance: Instance, caller: Caller, named: Organization, as_json: bool, sentence: str) -> None:
    alike = organizations.looking_like(instance.use, caller, named)
    show(as_json, {"id": named.slug, "name": named.name, "looks_like": [slug for slug, _ in alike]}, sentence)
    for slug, name in alike:
        click.echo(f"Warning: its name looks like that of {printable(name)} ({slug}).", err=True)


@organization.command("list")
@with_json
@acting
def list_(instance: Instance, caller: Caller, as_json: bool) -> None:
    """List the organizations you can see."""
    with instance.use.database.reading() as session:
        found = every(lambda part: organizations.visible(session, caller, part))
    rows = [(o.slug, o.name, _kind(o), o.created_at, o.suspended_at) for o in found]
    show_list(as_json, ("id", "name", "kind", "created_at", "suspended_at"), rows)


@organization.command("show")
@click.argument("slug")
@with_json
@acting
def show_organization(instance: Instance, caller: Caller, slug: str, as_json: bool) -> None:
    """Show the organization SLUG: limits, networks, and the people in it."""
    with instance.use.database.reading() as session:
        known = organizations.find(session, caller, slug)
        quota = organizations.quota_of(session, known)
        staffed = every(lambda part: people.of_organization(session, caller, known.id, part))
        body = {
            "id": known.slug, "name": known.name, "kind": _kind(known), "created_at": known.created_at,
            "suspended_at": known.suspended_at, "suspension_reason": known.suspension_reason,
            "bytes_per_day": quota.bytes_per_day, "requests_per_minute": quota.requests_per_minute,
            "networks": known.networks.split(), "people": [person.email for person in staffed],
        }  # fmt: skip
    show_one(as_json, body)


@organization.command()
@click.argument("slug")
@click.option("--reason", required=True, help="The reason, recorded in the log.")
@with_json
@acting
def suspend(instance: Instance, caller: Caller, slug: str, reason: str, as_json: bool) -> None:
    """Suspend SLUG: all its requests are refused from now on."""
    holds.place(instance.use, caller, f"{HELD_AS}{slug}", reason)
    lifetime = outlasting.seconds(instance.settings)
    body = {"id": slug, "suspended": True, "issued_urls_end_in_seconds": lifetime}
    show(as_json, body, f"{slug} is suspended. {outlasting.sentence(instance.settings)}")


@organization.command()
@click.argument("slug")
@click.option("--reason", required=True, help="The reason, recorded in the log.")
@with_json
@acting
def resume(instance: Instance, caller: Caller, slug: str, reason: str, as_json: bool) -> None:
    """Propose to end a suspension: `hold propose-lift organization:SLUG`. Another admin approves it."""
    show_proposed(instance, caller, f"{HELD_AS}{slug}", reason, as_json)


@organization.command()
@click.argument("slug")
@click.option("--bytes-per-day", type=LARGE_COUNT, help="Bytes issued per 24 hours [no limit].")
@click.option("--requests-per-minute", type=COUNT, help="Downloads per minute [no limit].")
@with_json
@acting
def quota(
    instance: Instance,
    caller: Caller,
    slug: str,
    bytes_per_day: int | None,
    requests_per_minute: int | None,
    as_json: bool,
) -> None:
    """Replace the limits of SLUG. Raising the first beyond `quota_alone_bytes_per_day` takes a second admin."""
    waits = carrying_out.set_quota(
        instance.use, caller, slug, bytes_per_day=bytes_per_day, requests_per_minute=requests_per_minute
    )
    body = {"id": slug, "bytes_per_day": bytes_per_day, "requests_per_minute": requests_per_minute}
    if waits is not None:
        then = f"Nothing has changed yet. Another admin must approve it: `proposal approve {waits.id}`."
        show(as_json, {"id": slug, "proposal": waits.id, "state": waits.state, "next": then}, then)
        return
    show(as_json, body, f"The limits of {slug} have been updated.")


@organization.command()
@click.argument("slug")
@click.argument("networks", nargs=-1)
@with_json
@acting
def networks(instance: Instance, caller: Caller, slug: str, networks: tuple[str, ...], as_json: bool) -> None:
    """Set the NETWORKS that SLUG fetches from. A fetch from any other network raises an alarm.

    Without NETWORKS, all are removed.
    """
    kept = organizations.set_networks(instance.use, caller, slug, networks)
    show(
        as_json,
        {"id": slug, "networks": list(kept)},
        f"Registered networks of {slug}: {', '.join(kept)}." if kept else f"{slug} has no registered networks.",
    )


def _kind(organization: Organization) -> str:
    return "lab" if organization.is_lab else "partner"


COMMANDS = [organization]
