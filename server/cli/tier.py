"""Tiers: add, edit, list."""

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
@click.option(
    "--report-to-renew", is_flag=True,
    help="To renew, an organization must have reported a finding since access was granted.",
)  # fmt: skip
@with_json
@acting
def add(instance: Instance, caller: Caller, name: str, rank: int, report_to_renew: bool, as_json: bool) -> None:
    """Add the tier NAME."""
    tiers.add(instance.use, caller, name, rank, report_to_renew=report_to_renew)
    body = {"name": name, "rank": rank, "report_to_renew": report_to_renew}
    show(as_json, body, f"Added tier {name} with rank {rank}.")


@tier.command()
@click.argument("name")
@click.option(
    "--report-to-renew/--no-report-to-renew",
    required=True,
    help="Whether an organization must have reported a finding since access was granted, to renew it. A report that "
    "nothing was found is one.",
)
@with_json
@acting
def edit(instance: Instance, caller: Caller, name: str, report_to_renew: bool, as_json: bool) -> None:
    """Change what the tier NAME asks of organizations. Its rank cannot be changed."""
    tiers.edit(instance.use, caller, name, report_to_renew=report_to_renew)
    takes = "a" if report_to_renew else "no"
    show(as_json, {"name": name, "report_to_renew": report_to_renew}, f"Renewing {name} now takes {takes} report.")


@tier.command("list")
@with_json
@acting
def list_(instance: Instance, caller: Caller, as_json: bool) -> None:  # noqa: ARG001  # who asks is proven, then all see all
    """List the tiers."""
    with instance.use.database.reading() as session:
        found = every(lambda part: tiers.all_of_them(session, part))
    rows = [(t.name, t.rank, t.report_to_renew) for t in sorted(found, key=lambda t: t.rank)]
    show_list(as_json, ("name", "rank", "report_to_renew"), rows)


COMMANDS = [tier]
