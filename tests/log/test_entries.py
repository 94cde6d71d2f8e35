"""Entries: committed to by the format's own words, appended with the act, and never changed by anybody."""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from server import migrations
from server.log import entries
from server.log.canonical import NotCanonical
from server.log.entries import LogEntry, NoLog
from server.storage.database import Database, DatabaseUnavailable, RowTaken
from tests.world import World

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "log.json").read_text(encoding="utf-8"))["cases"]
AT = datetime(2090, 1, 1, 0, 0, 0, 1999, tzinfo=UTC)  # after everything in the worked example
REFUSED = (DBAPIError, DatabaseUnavailable, RowTaken)


@pytest.mark.parametrize("case", VECTORS)
def test_the_commitment_is_the_format_s(case: dict[str, str]) -> None:
    """SHA-256 over the prefix, the salt and the record, as the notes on the log say, and as others will compute it."""
    salt, record = bytes.fromhex(case["salt_hex"]), case["record"].encode()
    by_hand = hashlib.sha256()
    for part in (b"weightgate-commit/v1", b"\n", salt, record):
        by_hand.update(part)
    assert entries.commitment_of(salt, record) == by_hand.digest() == bytes.fromhex(case["commitment_hex"])
    assert hashlib.sha256(b"\x00" + by_hand.digest()).hexdigest() == case["leaf_hash_hex"]


def append(world: World, kind: str = "test", **more: Any) -> entries.Appended:
    with world.use.database.transaction() as session:
        return entries.append(session, kind=kind, at=AT, record=more)


def test_an_entry_is_stored_as_it_was_hashed(world: World) -> None:
    """The record's bytes, the salt and the commitment that the caller gets are those of the row."""
    made = append(world, b="ü", a=[1, None, True])
    assert made.record == '{"a":[1,null,true],"b":"ü","kind":"test","time":3786912000001,"version":1}'.encode()
    assert len(made.salt) == 32
    entry = world.entries()[-1]
    assert (entry.record, entry.salt, entry.commitment) == (made.record, made.salt, made.commitment)
    assert (entry.kind, entry.appended_at, entry.leaf_index, entry.log_id) == ("test", AT, None, 1)
    assert (entry.subject, entry.organization_id) == (None, None)


def test_two_equal_acts_have_different_commitments(world: World) -> None:
    """A fresh salt each time: nobody can guess a record and find it in the public log."""
    first, second = append(world), append(world)
    assert first.record == second.record
    assert first.salt != second.salt
    assert first.commitment != second.commitment


def test_a_caller_cannot_give_itself_another_kind_or_time(sqlite_world: World) -> None:
    """What the log says of an entry is written by the log."""
    with sqlite_world.use.database.transaction() as session:
        own = {"version": 9, "kind": "download", "time": 0}
        made = entries.append(session, kind="test", at=AT, record=own)
    assert json.loads(made.record) == {"version": 1, "kind": "test", "time": 3786912000001}


def test_without_a_log_nothing_is_appended(world: World, tmp_path: Path) -> None:
    """An instance that was not initialized has no record, and so no act."""
    url = f"sqlite:///{tmp_path}/empty.sqlite3"
    migrations.upgrade(url)
    database = Database(url)
    with pytest.raises(NoLog), database.transaction() as session:
        entries.append(session, kind="test", at=AT, record={})
    database.close()


def test_an_act_that_is_undone_leaves_no_entry(world: World) -> None:
    """The entry stands and falls with the transaction of the act that it tells of."""
    known = len(world.entries())

    def append_and_fail() -> None:
        with world.use.database.transaction() as session:
            entries.append(session, kind="test", at=AT, record={})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        append_and_fail()
    with pytest.raises(NotCanonical):
        append(world, share=0.5)
    assert len(world.entries()) == known


def test_entries_keep_the_order_of_their_acts(world: World) -> None:
    """The next entry has the next id, and goes to the newest log."""
    world.tampered = True  # nobody has the second log's key
    with world.use.database.transaction() as session:
        for number in range(3):
            entries.append(session, kind="test", at=AT, record={"number": number})
    last = world.entries("test")
    assert [json.loads(entry.record)["number"] for entry in last] == [0, 1, 2]
    with world.use.database.transaction() as session:
        log = entries.open_log(session, "localhost/downloads/2090+", "", AT)
        assert (log.name, log.origin) == ("2090", "localhost/downloads/2090")
    append(world)
    assert world.entries()[-1].log_id == log.id


# The guards: what the database itself refuses, whoever asks -----------------------------------------------------------

COLUMNS = {
    "id": "9999", "log_id": "2", "kind": "'other'", "subject": "'other'", "organization_id": "7",
    "person": "'eve@example.org'", "stage": "'gpt-2/124M'", "code": "'other'",
    "appended_at": "'2026-01-01 00:00:00+00:00'", "record": "'00'", "salt": "'00'", "commitment": "'00'",
}  # fmt: skip
BYTES = {"record", "salt", "commitment"}


def run(world: World, statement: str, **values: Any) -> int:
    world.tampered = True
    with world.use.database.transaction() as session:
        done = session.execute(text(statement), values)
        return int(done.rowcount)  # type: ignore[attr-defined]


def refuse(world: World, statement: str, **values: Any) -> None:
    """The statement is refused by the database, and the log is what it was."""
    before = contents(world)
    with pytest.raises(REFUSED):
        run(world, statement, **values)
    assert contents(world) == before


def contents(world: World) -> list[Any]:
    with world.use.database.reading() as session:
        return [tuple(row) for row in session.execute(text("SELECT * FROM log_entries ORDER BY id"))]


@pytest.fixture
def two_logs(world: World) -> World:
    """A second log, so that `log_id` could be changed to something; it is not appended to by the guards' tests."""
    with world.use.database.transaction() as session:
        entries.open_log(session, "localhost/downloads/2090+", "", AT)
    return world


def test_every_column_is_guarded() -> None:
    """A column that is added later needs a guard and a row in these tests."""
    assert {column.key for column in LogEntry.__table__.columns} == {*COLUMNS, "leaf_index"}


@pytest.mark.parametrize("and_leaf", ["", ", leaf_index = 5"], ids=["alone", "with the leaf index"])
def test_no_column_of_an_entry_is_changed(two_logs: World, and_leaf: str) -> None:
    """Not alone, and not under cover of the one change that is allowed."""
    for column, value in COLUMNS.items():
        if two_logs.kind == "postgresql" and column in BYTES:
            value = "'\\x00'"
        refuse(two_logs, f"UPDATE log_entries SET {column} = {value}{and_leaf} WHERE id = 1")  # noqa: S608


def test_a_column_is_not_emptied(world: World) -> None:
    """Null is a change like any other."""
    refuse(world, "UPDATE log_entries SET subject = NULL WHERE subject IS NOT NULL")
    refuse(world, "UPDATE log_entries SET organization_id = NULL WHERE organization_id IS NOT NULL")


def test_no_entry_is_deleted(world: World) -> None:
    """Neither one nor all."""
    refuse(world, "DELETE FROM log_entries WHERE id = 1")
    refuse(world, "DELETE FROM log_entries")
    if world.kind == "postgresql":
        refuse(world, "TRUNCATE log_entries")
        refuse(world, "TRUNCATE logs CASCADE")


def unsealed(world: World) -> int:
    append(world)
    return world.entries()[-1].id


def test_the_leaf_index_is_given_once(world: World) -> None:
    """Null to a number is the sealer's; another number, null again, or the same number elsewhere is nobody's."""
    first, second = unsealed(world), unsealed(world)
    assert run(world, "UPDATE log_entries SET leaf_index = 9000 WHERE id = :id", id=first) == 1
    for value in ("9001", "NULL", "9000"):
        refuse(world, f"UPDATE log_entries SET leaf_index = {value} WHERE id = :id", id=first)  # noqa: S608
    refuse(world, "UPDATE log_entries SET leaf_index = 9000 WHERE id = :id", id=second)
    refuse(world, "UPDATE log_entries SET leaf_index = NULL WHERE id = :id", id=second)


COPY = "(id, log_id, kind, appended_at, record, salt, commitment, leaf_index) SELECT :id, log_id, 'forged', appended_at, record, salt, commitment, :leaf FROM log_entries WHERE id = 2"  # noqa: E501


@pytest.mark.parametrize(("key", "leaf"), [(1, None), (1, 7), (9999, 0)])
def test_no_entry_is_replaced(world: World, key: int, leaf: int | None) -> None:
    """Inserting over an entry is changing it: each database's own way of doing so is refused."""
    waiting = unsealed(world)
    values = {"id": key, "leaf": leaf}
    refuse(world, f"INSERT INTO log_entries {COPY}", **values)
    if world.kind == "sqlite":
        refuse(world, f"INSERT OR REPLACE INTO log_entries {COPY}", **values)
        refuse(world, f"REPLACE INTO log_entries {COPY}", **values)
        refuse(world, "UPDATE OR REPLACE log_entries SET leaf_index = 0 WHERE id = :id", id=waiting)
    else:
        clash = "(id)" if key == 1 else "(log_id, leaf_index)"
        refuse(world, f"INSERT INTO log_entries {COPY} ON CONFLICT {clash} DO UPDATE SET kind = 'forged'", **values)


def test_a_later_entry_still_goes_in(world: World) -> None:
    """The guards stop nobody who appends, before and after sealing."""
    run(world, "UPDATE log_entries SET leaf_index = 9000 WHERE id = :id", id=unsealed(world))
    append(world)
    assert len(world.entries("test")) == 2


def test_the_time_is_whole_milliseconds_rounded_down(sqlite_world: World) -> None:
    """An entry is never later than its act, and less than a millisecond earlier."""
    for microsecond in (0, 1, 999, 1000, 1999, 999_999):
        at = AT.replace(microsecond=microsecond)
        with sqlite_world.use.database.transaction() as session:
            made = entries.append(session, kind="test", at=at, record={})
        started = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=json.loads(made.record)["time"])
        assert timedelta(0) <= at - started < timedelta(milliseconds=1)
