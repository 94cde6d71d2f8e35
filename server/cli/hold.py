"""Holds: place, lift."""

import click

from server.cli.terminal import Instance, acting, show
from server.domain.callers import Caller
from server.domain.release import holds


@click.group()
def hold() -> None:
    """Stop issuing, for now. ON is model/stage, a model, or `everything`."""


@hold.command()
@click.argument("on")
@click.option("--reason", required=True, help="Why; the log keeps it.")
@acting
def place(instance: Instance, caller: Caller, on: str, reason: str) -> None:
    """Issue nothing of ON from the next request on."""
    holds.place(instance.use, caller, on, reason)
    lifetime = instance.settings.url_lifetime_seconds
    show(False, {}, f"{on} is held. URLs issued before still work for up to {lifetime} seconds.")


@hold.command()
@click.argument("on")
@acting
def lift(instance: Instance, caller: Caller, on: str) -> None:
    """Take the hold on ON away."""
    holds.lift(instance.use, caller, on)
    show(False, {}, f"The hold on {on} is lifted.")


COMMANDS = [hold]
