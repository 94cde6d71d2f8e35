"""Snapshots: whole and consistent while others write, on SQLite and on PostgreSQL."""

import contextlib
import os
import sqlite3
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from server.storage import snapshot
from server.storage.embedded import free_port
from server.storage.snapshot import SnapshotError
from tests.postgres import PostgreSQL, reachable_binaries

BIG = 30_000_000  # bytes: more than is copied between two writes


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[Path]:
    """A large SQLite database in which each commit moves 1 from row to row, without pause."""
    path = tmp_path / "busy.sqlite3"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "PRAGMA journal_mode=WAL; CREATE TABLE n (id INTEGER PRIMARY KEY, value INT, padding BLOB)"
        )
        with connection:
            connection.executemany("INSERT INTO n (value, padding) VALUES (0, zeroblob(?))", [(BIG // 100,)] * 100)
    stop = threading.Event()

    def write() -> None:
        with contextlib.closing(sqlite3.connect(path)) as writer:
            while not stop.is_set():
                with writer:
                    writer.execute("UPDATE n SET value = value + 1 WHERE id = 1 + abs(random() % 50)")
                    writer.execute("UPDATE n SET value = value - 1 WHERE id = 51 + abs(random() % 50)")

    thread = threading.Thread(target=write)
    thread.start()
    yield path
    stop.set()
    thread.join()


def test_a_snapshot_of_a_busy_database_ends_and_is_consistent(busy: Path, tmp_path: Path) -> None:
    """Writers that never pause neither starve the copy nor tear it: every transaction is in it whole or not."""
    copy = tmp_path / "copy"
    snapshot.take(f"sqlite:///{busy}", copy)
    with contextlib.closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT sum(value) FROM n").fetchone() == (0,)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_snapshot_is_one_private_file(busy: Path, tmp_path: Path) -> None:
    """The copy is whole by itself, without a journal beside it, and only its owner can read it."""
    copy = tmp_path / "backup" / "copy"
    copy.parent.mkdir()
    snapshot.take(f"sqlite:///{busy}", copy)
    assert [path.name for path in copy.parent.iterdir()] == ["copy"]
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600


def test_a_snapshot_of_what_is_no_database_is_refused(tmp_path: Path) -> None:
    """A damaged source is an error, not an empty copy."""
    (tmp_path / "noise").write_bytes(b"noise " * 1000)
    with pytest.raises(SnapshotError, match="file is not a database"):
        snapshot.take(f"sqlite:///{tmp_path / 'noise'}", tmp_path / "copy")


def test_a_missing_database_is_not_made(tmp_path: Path) -> None:
    """A wrong path is an error: a copy of nothing would pass for a backup."""
    with pytest.raises(SnapshotError, match="unable to open"):
        snapshot.take(f"sqlite:///{tmp_path / 'gone'}", tmp_path / "copy")
    assert not (tmp_path / "gone").exists()


def test_a_snapshot_is_never_put_over_a_database(busy: Path, tmp_path: Path) -> None:
    """What already exists is not replaced, whatever the copy holds."""
    copy = tmp_path / "copy"
    snapshot.take(f"sqlite:///{busy}", copy)
    before = busy.stat().st_ino
    with pytest.raises(SnapshotError, match="already exists"):
        snapshot.put_back(copy, f"sqlite:///{busy}")
    assert busy.stat().st_ino == before


@pytest.fixture
def tools(postgres: PostgreSQL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL's programs of the server's own version, first on the path."""
    monkeypatch.setenv("PATH", f"{reachable_binaries(tmp_path)}{os.pathsep}{os.environ['PATH']}")


def test_postgresql_comes_back_as_it_was(postgres: PostgreSQL, tools: None, tmp_path: Path) -> None:
    """A dump put into an empty database holds the same rows; the file is private."""
    postgres.create("snapshot_from")
    postgres.run("CREATE TABLE n AS SELECT generate_series(1, 1000) AS value", "snapshot_from")
    snapshot.take(postgres.url("snapshot_from") + "?sslmode=prefer", tmp_path / "copy")
    assert stat.S_IMODE((tmp_path / "copy").stat().st_mode) == 0o600
    snapshot.put_back(tmp_path / "copy", postgres.create("snapshot_to"))
    assert postgres.run("SELECT count(*), sum(value) FROM n", "snapshot_to") == [(1000, 500500)]


def test_postgresql_is_put_back_whole_or_not_at_all(postgres: PostgreSQL, tools: None, tmp_path: Path) -> None:
    """Into a database that is not empty nothing is put, and the one line says why."""
    postgres.create("snapshot_source")
    postgres.run("CREATE TABLE a (value int); CREATE TABLE n (value int)", "snapshot_source")
    snapshot.take(postgres.url("snapshot_source"), tmp_path / "copy")
    url = postgres.create("snapshot_taken")
    postgres.run("CREATE TABLE n (value int)", "snapshot_taken")
    with pytest.raises(SnapshotError, match='relation "n" already exists'):
        snapshot.put_back(tmp_path / "copy", url)
    with pytest.raises(psycopg.errors.UndefinedTable):
        postgres.run("SELECT * FROM a", "snapshot_taken")


def test_a_failing_tool_is_told_without_the_password(tools: None, tmp_path: Path) -> None:
    """The line names the server that did not answer, and not how one signs in there."""
    url = f"postgresql+psycopg://app:very-secret-word@127.0.0.1:{free_port()}/weightgate"
    with pytest.raises(SnapshotError, match="Connection refused") as refused:
        snapshot.take(url, tmp_path / "copy")
    assert "very-secret-word" not in str(refused.value)


def test_a_machine_without_the_tools_is_told_what_to_install(
    postgres: PostgreSQL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where pg_dump is missing, the line names the package to install."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SnapshotError, match="PostgreSQL client tools"):
        snapshot.take(postgres.url("postgres"), tmp_path / "copy")


@pytest.mark.parametrize("server", ["16.3 (Debian 16.3-1.pgdg120+1)", "18.1"])
def test_an_older_pg_dump_is_told_which_one_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    """Debian 12 has pg_dump 15; the line names both versions and the package, where pg_dump says `mismatch`."""
    said = f"pg_dump: error: aborting because of server version mismatch\\npg_dump: detail: server version: {server}"
    program = tmp_path / "pg_dump"  # what the older one answers; only the newest is installed for tests
    program.write_text(f"#!/bin/sh\nprintf '{said}; pg_dump version: 15.7 (Debian 15.7-0+deb12u1)\\n' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    major = server.partition(".")[0]
    with pytest.raises(SnapshotError, match=rf"15\.7, older than the server's {major}\..*postgresql-client-{major}"):
        snapshot.take("postgresql+psycopg://app:x@127.0.0.1/none", tmp_path / "copy")
