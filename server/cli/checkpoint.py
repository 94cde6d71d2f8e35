"""Checkpoints: which one is a stage's `main`."""

import click

from server.cli.terminal import STAGE, Instance, acting, show, with_json
from server.domain.callers import Caller
from server.domain.publish import main_checkpoint


@click.group()
def checkpoint() -> None:
    """Manage published checkpoints."""


@checkpoint.command("set-main")
@click.argument("stage", type=STAGE, metavar="MODEL/STAGE")
@click.argument("checkpoint_id", metavar="CHECKPOINT")
@with_json
@acting
def set_main(instance: Instance, caller: Caller, stage: str, checkpoint_id: str, as_json: bool) -> None:
    """Make a published CHECKPOINT the stage's `main`, which is downloaded by default.

    Publishers can do this while the stage is planned, admins at any time. It is recorded in the log.
    """
    done = main_checkpoint.set_main(instance.use, caller, stage, checkpoint_id)
    was = f"; it was {done.before} before" if done.before else ""
    body = {"stage": done.stage, "id": done.checkpoint_id, "before": done.before}
    show(as_json, body, f"The `main` of {done.stage} is now {done.checkpoint_id}{was}.")


COMMANDS = [checkpoint]
