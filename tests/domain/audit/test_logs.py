"""Logs: the newest is the one that is appended to; each has a name, an origin and keys of its own."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from server import migrations
from server.domain.audit import logs
from server.log import entries
from server.log.entries import NoLog
from server.log.notes import VerifierKey
from server.storage import keys
from server.storage.database import Database
from tests.world import World

AT = datetime(2091, 6, 1, tzinfo=UTC)


def test_without_a_log_there_is_none_to_append_to(tmp_path: Path) -> None:
    """An instance that was not initialized."""
    url = f"sqlite:///{tmp_path}/empty.sqlite3"
    migrations.upgrade(url)
    database = Database(url)
    with database.reading() as session, pytest.raises(NoLog, match="weightgate-server init"):
        logs.current(session)
    database.close()


def test_the_next_log_continues_the_one_before(world: World) -> None:
    """It is the current one from then on, and the one before it is found from it."""
    with world.use.database.transaction() as session:
        first = logs.current(session)
        assert logs.before(session, first) is None
        second = logs.open_next(session, world.use, AT)
        third = logs.open_next(session, world.use, AT)
        assert logs.current(session).id == third.id
        assert [log.id for log in logs.newest_first(session)] == [third.id, second.id, first.id]
        assert [logs.before(session, log) for log in (third, second)] == [second, first]
        session.rollback()


def test_a_log_is_named_by_its_year_and_then_counted(sqlite_world: World) -> None:
    """A name is used once, also one that only an anchor remembers."""
    world, host = sqlite_world, sqlite_world.settings.log_host
    with world.use.database.transaction() as session:
        made = [logs.open_next(session, world.use, AT) for _ in range(3)]
        assert [log.name for log in made] == ["2091", "2091-2", "2091-3"]
        assert [log.origin for log in made] == [f"{host}/downloads/{log.name}" for log in made]
        taken = {f"{host}/downloads/2091-4", f"{host}/downloads/2091-5"}
        assert logs.next_name(session, world.use, AT, taken.__contains__) == "2091-6"
        assert logs.next_name(session, world.use, AT.replace(year=2092), taken.__contains__) == "2092"
        session.rollback()


def test_a_log_names_the_keys_in_the_files(sqlite_world: World) -> None:
    """One for heads, under the log's own name; another one for receipts, which can never pass for the first."""
    world = sqlite_world
    with world.use.database.reading() as session:
        log = logs.current(session)
    head_key, receipt_key = VerifierKey.parse(log.vkey), VerifierKey.parse(log.receipt_vkey)
    assert head_key.name == log.origin == f"localhost/downloads/{log.name}"
    assert receipt_key.name == f"localhost/receipts/{log.name}"
    for key, path in ((head_key, world.settings.log_key_file), (receipt_key, world.settings.receipt_key_file)):
        assert key.public == keys.read_note_key(path).public_key().public_bytes_raw()
    assert head_key.public != receipt_key.public


def test_a_log_from_before_the_sealed_log_gets_its_keys(sqlite_world: World) -> None:
    """Once: those that are in the files then; a log that has keys keeps them."""
    world = sqlite_world
    with world.use.database.transaction() as session:
        known = logs.current(session).vkey
        session.add(entries.Log(name="downloads/2091", origin="old.example/downloads/2091", created_at=AT,
                                vkey="", receipt_vkey=""))  # fmt: skip
    assert logs.complete(world.use) == ["old.example/downloads/2091"]
    assert logs.complete(world.use) == []
    with world.use.database.transaction() as session:
        old = logs.current(session)
        assert (old.name, VerifierKey.parse(old.vkey).name) == ("2091", "old.example/downloads/2091")
        assert VerifierKey.parse(old.receipt_vkey).name == "old.example/receipts/2091"
        assert [log.vkey for log in logs.newest_first(session)][-1] == known
        session.delete(old)
