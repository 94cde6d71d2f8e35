"""Bring the database to this version's schema."""

import click

from server import migrations
from server.cli.terminal import Instance, show


@click.command()
@click.pass_obj
def migrate(instance: Instance) -> None:
    """Bring the database to this version's schema. Back up first; safe to run again."""
    url = instance.settings.migration_database_url or instance.settings.database_url
    migrations.upgrade(url)
    show(False, {}, f"The database is at schema {migrations.newest()}.")


COMMANDS = [migrate]
