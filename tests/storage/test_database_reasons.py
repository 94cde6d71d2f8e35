"""Why a database cannot be used: the real drivers' errors, told in our words, and never in theirs."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.orm import Session

from server.storage.database import Database, DatabaseUnavailable
from server.storage.embedded import free_port
from tests.postgres import PostgreSQL


def used(url: str, statement: str = "CREATE TABLE IF NOT EXISTS things (thing TEXT)") -> str:
    """What is said when a statement is tried there."""
    with closing(Database(url)) as database, pytest.raises(DatabaseUnavailable) as refused:  # noqa: SIM117
        with database.transaction() as session:
            session.execute(text(statement))
    return str(refused.value)


def not_a_database(path: Path) -> None:
    path.write_bytes(b"This is text, and it is longer than the header of a database file. " * 4)


def missing_folder(path: Path) -> None:
    path.symlink_to(path.parent / "nowhere" / "weightgate.sqlite3")


SQLITE: dict[Callable[[Path], None], str] = {
    not_a_database: "its file is not a database",
    missing_folder: "its file cannot be opened",
}


@pytest.mark.parametrize("spoil", SQLITE, ids=lambda spoil: str(spoil.__name__))
def test_sqlite_s_reasons(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    """What is wrong with a file is said of it."""
    spoil(tmp_path / "weightgate.sqlite3")
    assert SQLITE[spoil] in used(f"sqlite:///{tmp_path}/weightgate.sqlite3")


def test_a_full_sqlite_file_is_full(tmp_path: Path) -> None:
    """Not "WriterBusy": nobody else is writing."""
    with closing(Database(f"sqlite:///{tmp_path}/small.sqlite3")) as database:
        with database.transaction() as session:
            session.execute(text("CREATE TABLE things (thing BLOB)"))

        def fill(session: Session) -> None:
            session.execute(text("PRAGMA max_page_count = 4"))
            session.execute(text("INSERT INTO things VALUES (zeroblob(100000))"))

        with pytest.raises(DatabaseUnavailable, match="its disk is full: make room"), database.transaction() as session:
            fill(session)
        with pytest.raises(DatabaseUnavailable, match="its disk is full: make room"):
            database.together(fill)


def test_a_sqlite_file_that_another_process_writes_to(tmp_path: Path) -> None:
    """That nobody got a turn is said as such."""
    path = tmp_path / "busy.sqlite3"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode=WAL")
        other.execute("BEGIN IMMEDIATE")
        assert "another process is writing to it" in used(f"sqlite:///{path}")


@pytest.fixture
def postgresql(postgres: PostgreSQL, tmp_path: Path) -> Iterator[str]:
    """The name of a database, and of a role that owns nothing."""
    name = f"reasons_{tmp_path.name}"
    postgres.create(name)
    postgres.run(f"CREATE ROLE \"{name}\" LOGIN PASSWORD 'known'")
    yield name
    postgres.drop(name)
    postgres.run(f'DROP ROLE "{name}"')


def as_role(postgres: PostgreSQL, name: str, password: str = "known") -> str:
    url = make_url(postgres.url(name)).set(username=name, password=password)
    return url.render_as_string(hide_password=False)


def test_postgresql_s_reasons(postgres: PostgreSQL, postgresql: str) -> None:
    """One server, spoiled in one way after the other."""
    role = as_role(postgres, postgresql)
    assert "rejects this user or password" in used(as_role(postgres, postgresql, "wrong"))
    assert "no database with that name" in used(postgres.url("nowhere"))
    assert "it took too long" in used(role, "SELECT pg_sleep(60)")
    postgres.run(f'ALTER ROLE "{postgresql}" CONNECTION LIMIT 0')
    assert "too many connections" in used(role)
    postgres.run(f'ALTER ROLE "{postgresql}" CONNECTION LIMIT -1')
    postgres.run(f'ALTER ROLE "{postgresql}" SET default_transaction_read_only = on')
    assert "it is read-only" in used(role, "CREATE TABLE things (thing TEXT)")


def test_a_server_that_is_not_there() -> None:
    """Nobody answers at the address, or there is no such address."""
    assert "nothing listens" in used(f"postgresql+psycopg://app:a-password@127.0.0.1:{free_port()}/weightgate")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_no_secret_is_told(host: str) -> None:
    """The drivers' text names users and hosts, and might name more."""
    told = used(f"postgresql+psycopg://app:a-password@{host}:{free_port()}/weightgate")
    assert "a-password" not in told
    assert "app" not in told
