"""Clearances: propose, approve, revoke, list."""

from datetime import datetime

import click

from server.cli.terminal import LARGE_COUNT, MOMENT, Instance, acting, show, show_list, with_json
from server.domain.access import clearances
from server.domain.callers import Caller
from server.domain.paging import Slice


@click.group()
def clearance() -> None:
    """Manage clearances: which organization has which tier on which model."""


@clearance.command()
@click.argument("organization")
@click.argument("model")
@click.argument("tier")
@click.option(
    "--until", type=MOMENT, required=True, help="When it ends: 2027-01-31, 2027-01-31T12:00:00Z, or 90d from now."
)
@click.option("--from", "starts_at", type=MOMENT, help="When it starts [now].")
@click.option("--purpose", required=True, help="What the organization needs it for.")
@with_json
@acting
def propose(
    instance: Instance,
    caller: Caller,
    organization: str,
    model: str,
    tier: str,
    until: datetime,
    starts_at: datetime | None,
    purpose: str,
    as_json: bool,
) -> None:
    """Propose to clear ORGANIZATION for TIER on MODEL."""
    made = clearances.propose(
        instance.use, caller, organization, model, tier, expires_at=until, starts_at=starts_at, purpose=purpose
    )
    state = made.state_at(instance.use.clock())
    then = f" Another admin must approve it: `clearance approve {made.id}`." if state == "proposed" else ""
    beside = _beside(instance, caller, made.id)
    show(as_json, {"id": made.id, "state": state}, f"Clearance {made.id} is {state}.{then}{beside}")


@clearance.command()
@click.argument("clearance_id", type=LARGE_COUNT)
@acting
def approve(instance: Instance, caller: Caller, clearance_id: int) -> None:
    """Approve a clearance that someone else proposed."""
    approved = clearances.approve(instance.use, caller, clearance_id)
    beside = _beside(instance, caller, clearance_id)
    show(False, {}, f"Clearance {clearance_id} is {approved.state_at(instance.use.clock())}.{beside}")


@clearance.command()
@click.argument("clearance_id", type=LARGE_COUNT)
@click.option("--reason", help="Why. The organization can read it.")
@click.option("--all", "with_others", is_flag=True, help="Also revoke the organization's others on the model.")
@acting
def revoke(instance: Instance, caller: Caller, clearance_id: int, reason: str | None, with_others: bool) -> None:
    """Revoke a clearance immediately."""
    left = clearances.revoke(instance.use, caller, clearance_id, reason, with_others=with_others)
    lifetime = instance.settings.url_lifetime_seconds
    goes_on = f" Access continues under {clearances.in_words(left)}: `--all` revokes these too." if left else ""
    show(
        False,
        {},
        f"Clearance {clearance_id} has been revoked. URLs that were already issued work for up to {lifetime} seconds."
        f"{goes_on}",
    )


@clearance.command("list")
@with_json
@acting
def list_(instance: Instance, caller: Caller, as_json: bool) -> None:
    """List the clearances you can see, newest first."""
    at = instance.use.clock()
    with instance.use.database.reading() as session:
        found = clearances.visible(session, caller, Slice(10_000)).items
    rows = [
        (c.id, c.organization.slug, c.model.name, c.tier.name, c.state_at(at), c.starts_at, c.expires_at) for c in found
    ]
    show_list(as_json, ("id", "organization", "model", "tier", "state", "starts_at", "expires_at"), rows)


def _beside(instance: Instance, caller: Caller, clearance_id: int) -> str:
    """A sentence on the other clearances of the same organization on the same model; none where there are none."""
    with instance.use.database.reading() as session:
        one = clearances.get(session, caller, clearance_id)
        others = clearances.alongside(session, one, instance.use.clock())
    return f" The organization also has {clearances.in_words(others)}." if others else ""


COMMANDS = [clearance]
