"""Bring the database to this version's schema."""

import contextlib

import click

from server import migrations
from server.cli import instance as making
from server.cli.serve import mark_bucket
from server.cli.terminal import Instance, show, with_json
from server.domain.audit import logs
from server.domain.errors import NotPossible
from server.domain.marks import AnotherInstance
from server.domain.operation import bootstrap, nodes
from server.domain.resources import Resources


@click.command()
@click.option(
    "--all-stopped", is_flag=True, help="Skip the check for running processes whose code is too old for the new schema."
)
@with_json
@click.pass_obj
def migrate(instance: Instance, all_stopped: bool, as_json: bool) -> None:
    """Migrate the database to this version's schema, and create the keys that are new in it.

    Back up first. Safe to run again. Refuses while any process runs code that is too old for the new schema.
    """
    if not all_stopped:
        _require_nobody_left_behind(instance)
    making.write_schema(instance.settings)
    making.write_s3_key(instance.settings)
    owner = Resources(instance.settings).as_owner()
    try:
        logs.complete(owner)
        bootstrap.adopt_rules(owner)
        with contextlib.suppress(AnotherInstance):  # the schema is right, and `serve` and the doctor tell of this
            mark_bucket(owner)
    finally:
        owner.close()
    show(as_json, {"schema": migrations.newest()}, f"The database is at schema {migrations.newest()}.")


def _require_nobody_left_behind(instance: Instance) -> None:
    with contextlib.closing(Resources(instance.settings).as_owner()) as owner:
        if making.other_schema(owner.database) is None:
            return
        with owner.database.reading() as session:
            behind = nodes.left_behind(session, owner.clock())
    if behind:
        raise NotPossible(
            f"This would stop what runs with older code: {', '.join(behind)}.",
            next_step="Stop it and run this again. What was killed is forgotten "
            f"{nodes.LIVES_FOR.seconds // 60} minutes after its last sign of life; if nothing runs, add --all-stopped.",
        )


COMMANDS = [migrate]
