"""Tiers: add, list."""

import click

from server.cli.terminal import Instance, acting, show, show_list, with_json
from server.domain.callers import Caller
from server.domain.paging import every
from server.domain.release import tiers


@click.group()
def tier() -> None:
    """Manage tiers: named ranks of access."""


@tier.command()
@click.argument("name")
@click.option("--rank", type=int, required=True, help="A higher rank includes everything below it.")
@with_json
@acting
def add(instance: Instance, caller: Caller, name: str, rank: int, as_json: bool) -> None:
    """Add the tier NAME."""
    tiers.add(instance.use, caller, name, rank)
    show(as_json, {"name": name, "rank": rank}, f"Added tier {name} with rank {rank}.")


@tier.command("list")
@with_json
@acting
def list_(instance: Instance, caller: Caller, as_json: bool) -> None:  # noqa: ARG001  # who asks is proven, then all see all
    """List the tiers."""
    with instance.use.database.reading() as session:
        found = every(lambda part: tiers.all_of_them(session, part))
    show_list(as_json, ("name", "rank"), [(t.name, t.rank) for t in sorted(found, key=lambda t: t.rank)])


COMMANDS = [tier]
