"""Empty databases of both kinds, and what migrations do with one, for tests of the schema itself."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, inspect, text

from server import migrations
from tests.postgres import PostgreSQL
from tests.world import DATABASES


@pytest.fixture(params=DATABASES)
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/empty.sqlite3"
        return
    postgres: PostgreSQL = request.getfixturevalue("postgres")
    name = f"empty_{uuid.uuid4().hex}"
    yield postgres.create(name)
    postgres.drop(name)


def tables(url: str) -> set[str]:
    engine = create_engine(url)
    found = set(inspect(engine).get_table_names())
    engine.dispose()
    return found


def run(url: str, statement: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


def difference(url: str) -> str | None:
    """Why our code cannot work on it."""
    engine = create_engine(url)
    with engine.connect() as connection:
        found = migrations.difference(connection)
    engine.dispose()
    return found


def go_to(url: str, revision: str) -> None:
    """To this schema: up from an empty database, else back down."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.attributes["url"] = url
    (command.downgrade if tables(url) else command.upgrade)(config, revision)


def outgrow(url: str) -> None:
    """Make the schema one of newer code, on which ours does not work."""
    run(url, "UPDATE alembic_version SET version_num = '9999'")
    run(url, "UPDATE supported_code SET oldest = '9999'")
