"""Migrations: the same ones on SQLite and on PostgreSQL."""

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, pool

from server.migrations import turns


class NewerSchema(Exception):
    """The database has the schema of newer code than this. The text says what to do."""


def upgrade(url: str) -> None:
    """Bring the database at `url` to the newest schema; does nothing when it is there.

    Of two at the same moment, one waits for the other. Raises NotYourTurn, NewerSchema, SQLAlchemyError.
    """
    with turns.alone(url):
        _require_known(url)
        command.upgrade(_config(url), "head")


def check(url: str) -> None:
    """Raise alembic's CommandError when the tables in the code are not those that the migrations make."""
    command.check(_config(url))


def is_current(connection: Connection) -> bool:
    """Whether the database has the schema that this code was written for."""
    return difference(connection) is None


def difference(connection: Connection) -> str | None:
    """Why this code cannot work with the database's schema, and what to do; None if it can."""
    found = MigrationContext.configure(connection).get_current_revision()
    if found == newest():
        return None
    if found is None:
        return "the database has no schema yet: run `weightgate-server migrate`"
    where = f"the schema is from another version, {found}"
    if found in _known():
        advice = "stop web and worker on all machines, then run `weightgate-server migrate` once"
        return f"{where}, and older than this code, {newest()}: {advice}"
    return f"{where}, and newer than this code, {newest()}: update the code on this machine"


def _require_known(url: str) -> None:
    engine = create_engine(url, poolclass=pool.NullPool, hide_parameters=True)
    with engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
        if found is not None and found not in _known():
            raise NewerSchema(str(difference(connection)))


@cache
def _known() -> frozenset[str]:
    return frozenset(one.revision for one in ScriptDirectory.from_config(_config("")).walk_revisions())


@cache
def newest() -> str | None:
    return ScriptDirectory.from_config(_config("")).get_current_head()


def _config(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["url"] = url
    return config
