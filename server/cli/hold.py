"""Holds: place, lift."""

import click

from server.cli.terminal import STAGE, Instance, acting, show, with_json
from server.domain.callers import Caller
from server.domain.release import holds


@click.group()
def hold() -> None:
    """Pause and resume downloads. ON is model/stage, a model, or `everything`."""


@hold.command()
@click.argument("on", type=STAGE)
@click.option("--reason", required=True, help="The reason, recorded in the log.")
@with_json
@acting
def place(instance: Instance, caller: Caller, on: str, reason: str, as_json: bool) -> None:
    """Place a hold: nobody can download ON until it is lifted."""
    holds.place(instance.use, caller, on, reason)
    lifetime = instance.settings.url_lifetime_seconds
    sentence = f"{on} is on hold. URLs that were already issued work for up to {lifetime} seconds."
    show(as_json, {"on": on, "held": True, "issued_urls_end_in_seconds": lifetime}, sentence)


@hold.command()
@click.argument("on", type=STAGE)
@with_json
@acting
def lift(instance: Instance, caller: Caller, on: str, as_json: bool) -> None:
    """Lift the hold on ON."""
    holds.lift(instance.use, caller, on)
    show(as_json, {"on": on, "held": False}, f"The hold on {on} has been lifted.")


COMMANDS = [hold]
