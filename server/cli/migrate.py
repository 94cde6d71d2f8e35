"""Bring the database to this version's schema."""

import click

from server import migrations
from server.cli import instance as making
from server.cli.terminal import Instance, show, with_json


@click.command()
@with_json
@click.pass_obj
def migrate(instance: Instance, as_json: bool) -> None:
    """Bring the database to this version's schema. Back up first; safe to run again."""
    making.write_schema(instance.settings)
    show(as_json, {"schema": migrations.newest()}, f"The database is at schema {migrations.newest()}.")


COMMANDS = [migrate]
