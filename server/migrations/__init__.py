"""Migrations: the same ones on SQLite and on PostgreSQL."""

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection


def upgrade(url: str) -> None:
    """Bring the database at `url` to the newest schema; does nothing when it is there."""
    command.upgrade(_config(url), "head")


def check(url: str) -> None:
    """Raise alembic's CommandError when the tables in the code are not those that the migrations make."""
    command.check(_config(url))


def is_current(connection: Connection) -> bool:
    """Whether the database has the schema that this code was written for."""
    return MigrationContext.configure(connection).get_current_revision() == newest()


@cache
def newest() -> str | None:
    return ScriptDirectory.from_config(_config("")).get_current_head()


def _config(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["url"] = url
    return config
