"""Migrations: the same ones on SQLite and on PostgreSQL."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, pool

from server.migrations import support, turns

_ANOTHER = "the schema is from another version"


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


def current(connection: Connection) -> str | None:
    """The revision of the database's schema; None before the first one."""
    return MigrationContext.configure(connection).get_current_revision()


def difference(connection: Connection) -> str | None:
    """Why this code cannot work with the database's schema, and what to do; None if it can.

    It can with its own schema, and with a newer one that says that it supports this code.
    """
    found = current(connection)
    if found == newest() or (found not in {None, *_known()} and support.noted(connection) in _known()):
        return None
    if found is None:
        return "the database has no schema yet: run `weightgate-server migrate`"
    where = f"{_ANOTHER}, {found}"
    if found in _known():
        advice = "run `weightgate-server migrate` once"
        return f"{where}, and older than this code, {newest()}: {advice}"
    return f"{where}, {_newer()}"


def _require_known(url: str) -> None:
    engine = create_engine(url, poolclass=pool.NullPool, hide_parameters=True)
    with engine.connect() as connection:
        found = current(connection)
        if found not in {None, *_known()}:
            raise NewerSchema(f"{_ANOTHER}, {found}, {_newer()}")


def _newer() -> str:
    return f"and newer than this code, {newest()}: update the code on this machine"


@cache
def _known() -> frozenset[str]:
    return frozenset(one.revision for one in _script().walk_revisions())


@cache
def newest() -> str:
    """The revision of the schema that this code was written for."""
    return str(_script().get_current_head())


def outgrown(codes: Iterable[str]) -> set[str]:
    """Which of these, the newest revisions that other processes' code has, do not work on the schema of this code."""
    needed = support.oldest(_script(), newest())
    return {code for code in codes if code in _known() and needed not in _up_to(code)}


def _up_to(revision: str) -> set[str]:
    return {one.revision for one in _script().iterate_revisions(revision, "base")}


def _script() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config(""))


def _config(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["url"] = url
    return config
