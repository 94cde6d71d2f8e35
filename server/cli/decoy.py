"""Decoys: place, list, remove."""

import click

from server.cli.terminal import LARGE_COUNT, STAGE, Instance, acting, plain, show, show_list, with_json
from server.domain.callers import Caller
from server.domain.delivery import decoys

COLUMNS = ("id", "stage", "object_key", "size_bytes", "placed_at", "placed_by", "removed_at", "removed_by")


@click.group()
def decoy() -> None:
    """Manage decoys: objects in the bucket that nobody has a reason to request."""


@decoy.command()
@click.argument("stage", type=STAGE, metavar="MODEL/STAGE")
@click.option("--size", type=int, metavar="MIB", help="About this many MiB, 1 to 15 [4].")
@with_json
@acting
def place(instance: Instance, caller: Caller, stage: str, size: int | None, as_json: bool) -> None:
    """Put a decoy among the stage's objects: random bytes under the name of weights, which belong to no checkpoint.

    A request for it at the store raises an alarm. It needs the publisher's key. If interrupted, run it again.
    """
    done = decoys.place(instance.use, caller, stage, decoys.DEFAULT_MIB if size is None else size)
    body = {"id": done.id, "stage": done.stage.full_name, "object_key": done.object_key, "size_bytes": done.size_bytes}
    show(as_json, body, f"Decoy {done.id} is placed, {done.size_bytes} bytes: {done.object_key}")


@decoy.command("list")
@with_json
@acting
def list_(instance: Instance, caller: Caller, as_json: bool) -> None:
    """List all decoys, and the removed ones, whose object keys raise alarms, too."""
    with instance.use.database.reading() as session:
        found = decoys.listed(session, caller)
        rows = [(one.id, one.stage.full_name, *(getattr(one, name) for name in COLUMNS[2:])) for one in found]
    show_list(as_json, COLUMNS, rows)


@decoy.command()
@click.argument("decoy_id", type=LARGE_COUNT, metavar="ID")
@with_json
@acting
def remove(instance: Instance, caller: Caller, decoy_id: int, as_json: bool) -> None:
    """Delete a decoy from the bucket. Requests for it still raise alarms. If interrupted, run it again."""
    done = decoys.remove(instance.use, caller, decoy_id)
    told = f"Decoy {done.id} is removed. Requests for it still raise alarms."
    show(as_json, {"id": done.id, "removed_at": plain(done.removed_at)}, told)


COMMANDS = [decoy]
