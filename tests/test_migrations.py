"""Migrations: the same on both databases, whole or not at all, and equal to the tables in the code."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect, text

from server import migrations
from server.domain.schema import METADATA
from tests.postgres import PostgreSQL
from tests.world import DATABASES


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database."""
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


def test_the_migrations_make_the_tables_of_the_code(url: str) -> None:
    """Names, columns, types and constraints: nothing is missing and nothing is left over."""
    migrations.upgrade(url)
    migrations.check(url)
    assert tables(url) == {*METADATA.tables, "alembic_version"}


def is_current(url: str) -> bool:
    engine = create_engine(url)
    with engine.connect() as connection:
        current = migrations.is_current(connection)
    engine.dispose()
    return current


def test_a_second_upgrade_changes_nothing(url: str) -> None:
    """An operator may run it again at any time."""
    migrations.upgrade(url)
    run(url, "INSERT INTO agreements (name) VALUES ('kept')")
    before = tables(url)
    migrations.upgrade(url)
    assert tables(url) == before
    assert is_current(url)
    engine = create_engine(url)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT name FROM agreements")) == "kept"
    engine.dispose()


def test_an_empty_database_is_not_current(url: str) -> None:
    """Nor is one that another version of this code has made."""
    assert not is_current(url)
    migrations.upgrade(url)
    run(url, "UPDATE alembic_version SET version_num = '9999'")
    assert not is_current(url)


def test_a_migration_that_dies_leaves_nothing(url: str) -> None:
    """A table in the way of the last step undoes the first ones too; without it the upgrade goes through."""
    run(url, "CREATE TABLE tokens (id INTEGER)")
    with pytest.raises(Exception, match="tokens"):
        migrations.upgrade(url)
    assert tables(url) <= {"tokens", "alembic_version"}
    assert not is_current(url)
    run(url, "DROP TABLE tokens")
    migrations.upgrade(url)
    assert is_current(url)


def test_a_table_that_was_changed_by_hand_is_noticed(url: str) -> None:
    """The check compares with the real database, not with itself."""
    migrations.upgrade(url)
    run(url, "ALTER TABLE tiers ADD COLUMN more INTEGER")
    with pytest.raises(Exception, match="more"):
        migrations.check(url)
