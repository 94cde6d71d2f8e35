"""Bring the database to this version's schema."""

import contextlib

import click

from server import migrations
from server.cli import instance as making
from server.cli.serve import mark_bucket
from server.cli.terminal import Instance, show, with_json
from server.domain.audit import logs
from server.domain.marks import AnotherInstance
from server.domain.operation import bootstrap
from server.domain.resources import Resources


@click.command()
@with_json
@click.pass_obj
def migrate(instance: Instance, as_json: bool) -> None:
    """Migrate the database to this version's schema, and create the keys that are new in it.

    Back up first. Safe to run again.
    """
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


COMMANDS = [migrate]
