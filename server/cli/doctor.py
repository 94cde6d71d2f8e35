"""Doctor: says in plain lines what is wrong with an instance."""

import sys

import click

from server import migrations, settings_variables
from server.cli import instance as making
from server.cli.terminal import Instance, console, show_list, with_json
from server.domain.operation.doctor import Check, examine
from server.domain.resources import Resources
from server.settings import Settings
from server.storage.database import Database, DatabaseUnavailable


@click.command()
@click.option("--production", is_flag=True, help="Also check what an instance that people rely on must have.")
@with_json
@click.pass_obj
def doctor(instance: Instance, production: bool, as_json: bool) -> None:
    """Check the instance: settings, keys, database, proxy, clock, store. Exit code 1 if a check fails.

    Also tries what must fail: writing with the signer's key, reading without a signature, an expired URL.
    """
    made = instance.settings  # settings that cannot be used end here, with the sentence that says why
    checks = [_settings(made), _schema(made)]
    use = Resources(made)
    checks += examine(use, for_production=production)
    use.close()
    if as_json:
        show_list(True, ("name", "ok", "sentence"), [(f.name, f.ok, f.sentence) for f in checks])
    else:
        for check in checks:
            mark = "[green]ok[/green]   " if check.ok else "[red]WRONG[/red]"
            console.print(f"{mark}  {check.name:<14}", end="")
            console.print(check.sentence, markup=False)
    sys.exit(0 if all(check.ok for check in checks) else 1)


def _settings(made: Settings) -> Check:
    variables = settings_variables.names(made)
    also = f"; only from the environment, and in no backup: {', '.join(variables)}" if variables else ""
    return Check("settings", True, f"{made.folder} is complete and safe{also}")


def _schema(made: Settings) -> Check:
    database = Database(made.database_url)
    try:
        difference = making.other_schema(database)
        with database.reading() as session:
            found = migrations.current(session.connection())
    except DatabaseUnavailable as error:
        return Check("migrations", False, str(error))
    finally:
        database.close()
    if difference is not None:
        return Check("migrations", False, difference)
    if found != migrations.newest():
        return Check("migrations", True, f"the schema is {found}, and supports this older code: update this machine")
    return Check("migrations", True, f"the schema is {found}")


COMMANDS = [doctor]
