"""Clearances: rehearse, propose, approve, revoke, list."""

from datetime import datetime, timedelta
from typing import Any

import click

from server.cli.terminal import END, LARGE_COUNT, MOMENT, Instance, acting, plain, show, show_list, with_json
from server.domain.access import clearance_rehearsals, clearances, endings
from server.domain.access.clearance_rehearsals import Outcome
from server.domain.callers import Caller
from server.domain.downloads import outlasting
from server.domain.paging import every


@click.group()
def clearance() -> None:
    """Manage clearances: which organization has which tier on which model."""


@clearance.command()
@click.argument("organization")
@click.argument("model")
@click.argument("tier")
@click.option(
    "--until",
    type=END,
    required=True,
    help="When it ends: 2027-01-31 (the end of that day, UTC), 2027-01-31T12:00:00Z, or 90d from now.",
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
    span = {"starts_at": plain(made.starts_at), "expires_at": plain(made.expires_at)}
    sentence = f"Clearance {made.id} is {state}. It ends at {span['expires_at']}.{then}{beside}"
    show(as_json, {"id": made.id, "state": state, **span}, sentence)


@clearance.command()
@click.argument("organization")
@click.argument("model")
@click.option("--tier", required=True, help="The tier that it would have.")
@click.option("--until", type=END, required=True, help="When it would end, as for `propose`.")
@click.option("--from", "starts_at", type=MOMENT, help="When it would start [now].")
@with_json
@acting
def rehearse(
    instance: Instance,
    caller: Caller,
    organization: str,
    model: str,
    tier: str,
    until: datetime,
    starts_at: datetime | None,
    as_json: bool,
) -> None:
    """Show what ORGANIZATION could download with a clearance for MODEL. Nothing is changed."""
    with instance.use.database.reading() as session:
        found = clearance_rehearsals.rehearse(
            session, instance.use, caller, organization, model, tier, expires_at=until, starts_at=starts_at
        )
    if as_json:
        span = {"starts_at": plain(found.starts_at), "expires_at": plain(found.expires_at)}
        about = {"organization": organization, "model": found.model, "tier": found.tier, **span, "people": found.people}
        show(as_json, {**about, "stages": [_outcome(one) for one in found.outcomes]}, "")
        return
    rows = [(one.full_name, one.stage.state, one.in_words, one.people, one.until) for one in found.outcomes]
    show_list(as_json, ("stage", "state", "then", "people", "until"), rows)


@clearance.command()
@click.argument("clearance_id", type=LARGE_COUNT)
@with_json
@acting
def approve(instance: Instance, caller: Caller, clearance_id: int, as_json: bool) -> None:
    """Approve a clearance that someone else proposed."""
    approved = clearances.approve(instance.use, caller, clearance_id)
    state, beside = approved.state_at(instance.use.clock()), _beside(instance, caller, clearance_id)
    show(as_json, {"id": clearance_id, "state": state}, f"Clearance {clearance_id} is {state}.{beside}")


@clearance.command()
@click.argument("clearance_id", type=LARGE_COUNT)
@click.option("--reason", help="Why. The organization can read it.")
@click.option("--all", "with_others", is_flag=True, help="Also revoke the organization's others on the model.")
@with_json
@acting
def revoke(
    instance: Instance, caller: Caller, clearance_id: int, reason: str | None, with_others: bool, as_json: bool
) -> None:
    """Revoke a clearance immediately."""
    left = clearances.revoke(instance.use, caller, clearance_id, reason, with_others=with_others)
    lifetime = outlasting.seconds(instance.settings)
    continues = f" Access continues under {clearances.in_words(left)}: `--all` revokes these too." if left else ""
    show(
        as_json,
        {
            "id": clearance_id,
            "state": "revoked",
            "issued_urls_end_in_seconds": lifetime,
            "access_continues_under": [one.id for one in left],
        },
        f"Clearance {clearance_id} has been revoked. {outlasting.sentence(instance.settings)}{continues}",
    )


@clearance.command("list")
@click.option(
    "--ending",
    type=click.IntRange(1, 3660),
    metavar="DAYS",
    help="Only those that end within so many days and that no other one outlasts; the next to end first.",
)
@with_json
@acting
def list_(instance: Instance, caller: Caller, ending: int | None, as_json: bool) -> None:
    """List the clearances you can see, newest first."""
    at = instance.use.clock()
    with instance.use.database.reading() as session:
        if ending is None:
            found = every(lambda part: clearances.visible(session, caller, part))
        else:
            found = list(endings.soonest(session, caller, at, timedelta(days=ending)))
    rows = [
        (c.id, c.organization.slug, c.model.name, c.tier.name, c.state_at(at), c.starts_at, c.expires_at) for c in found
    ]
    show_list(as_json, ("id", "organization", "model", "tier", "state", "starts_at", "expires_at"), rows)


def _outcome(one: Outcome) -> dict[str, Any]:
    return {
        "stage": one.full_name,
        "state": one.stage.state,
        "may_download_now": one.now is None,
        "may_download_then": one.then is None,
        "refused_now": one.now and one.now.code,
        "refused_then": one.then and one.then.code,
        "then": one.in_words,
        "people": one.people,
        "until": plain(one.until),
    }


def _beside(instance: Instance, caller: Caller, clearance_id: int) -> str:
    """A sentence on the other clearances of the same organization on the same model; none where there are none."""
    with instance.use.database.reading() as session:
        one = clearances.get(session, caller, clearance_id)
        others = clearances.alongside(session, one, instance.use.clock())
    return f" The organization also has {clearances.in_words(others)}." if others else ""


COMMANDS = [clearance]
