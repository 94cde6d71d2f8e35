"""Organizations: add, list, suspend, resume, limit."""

import click

from server.cli.terminal import COUNT, LARGE_COUNT, Instance, acting, printable, show, show_list, with_json
from server.domain.callers import Caller
from server.domain.identity import organizations
from server.domain.paging import Slice


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
    alike = organizations.looking_like(instance.use, caller, added)
    body = {"id": added.slug, "name": added.name, "looks_like": [slug for slug, _ in alike]}
    show(as_json, body, f"Added {added.slug}. Next: `person add`.")
    for slug, name in alike:
        click.echo(f"Warning: its name looks like that of {printable(name)} ({slug}).", err=True)


@organization.command("list")
@with_json
@acting
def list_(instance: Instance, caller: Caller, as_json: bool) -> None:
    """List the organizations you can see."""
    with instance.use.database.reading() as session:
        found = organizations.visible(session, caller, Slice(10_000)).items
    rows = [(o.slug, o.name, "lab" if o.is_lab else "partner", o.created_at, o.suspended_at) for o in found]
    show_list(as_json, ("id", "name", "kind", "created_at", "suspended_at"), rows)


@organization.command()
@click.argument("slug")
@click.option("--reason", required=True, help="The reason, recorded in the log.")
@acting
def suspend(instance: Instance, caller: Caller, slug: str, reason: str) -> None:
    """Suspend SLUG: all its requests are refused from now on."""
    organizations.suspend(instance.use, caller, slug, reason)
    lifetime = instance.settings.url_lifetime_seconds
    show(False, {}, f"{slug} is suspended. URLs that were already issued work for up to {lifetime} seconds.")


@organization.command()
@click.argument("slug")
@acting
def resume(instance: Instance, caller: Caller, slug: str) -> None:
    """End a suspension."""
    organizations.resume(instance.use, caller, slug)
    show(False, {}, f"The suspension of {slug} has been lifted.")


@organization.command()
@click.argument("slug")
@click.option("--bytes-per-day", type=LARGE_COUNT, help="Bytes issued per 24 hours [no limit].")
@click.option("--requests-per-minute", type=COUNT, help="Downloads per minute [no limit].")
@acting
def quota(
    instance: Instance, caller: Caller, slug: str, bytes_per_day: int | None, requests_per_minute: int | None
) -> None:
    """Replace the limits of SLUG."""
    organizations.set_quota(
        instance.use, caller, slug, bytes_per_day=bytes_per_day, requests_per_minute=requests_per_minute
    )
    show(False, {}, f"The limits of {slug} have been updated.")


@organization.command()
@click.argument("slug")
@click.argument("networks", nargs=-1)
@acting
def networks(instance: Instance, caller: Caller, slug: str, networks: tuple[str, ...]) -> None:
    """Set the NETWORKS that SLUG fetches from. A fetch from any other network raises an alarm. Omit to remove all."""
    kept = organizations.set_networks(instance.use, caller, slug, networks)
    show(
        False,
        {},
        f"Registered networks of {slug}: {', '.join(kept)}." if kept else f"{slug} has no registered networks.",
    )


COMMANDS = [organization]
