"""The columns that entries are found by, the order of rows, and the rows about the logs: each changed as by SQL."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from server.domain.audit import erasure, heartbeat, logs, verifying
from server.domain.downloads import issuing
from server.domain.entry_kinds import EntryKind
from server.domain.release import holds
from server.domain.resources import Resources
from server.storage.embedded import EmbeddedStore
from tests import tampering
from tests.own_keys import anchored_instance, seal_and_anchor
from tests.postgres import PostgreSQL
from tests.world import Clock, World, cases


def found(world: World) -> list[tuple[str, str]]:
    return [(fault.row, fault.sentence) for result in verifying.verify(world.use) for fault in result.faults]


def change(world: World, statement: str, **values: Any) -> None:
    world.tampered = True
    tampering.run(world.settings.database_url, statement, **values)


OTHERWISE: dict[str, tuple[str, str, Any]] = {  # what is changed, of an entry of which kind, to what
    "organization": ("organization_id", "download", 3),
    "organization of a token": ("organization_id", "token.create", 3),
    "organization of a person": ("organization_id", "person.add", 3),
    "organization of a clearance": ("organization_id", "clearance.approve", None),
    "organization of nobody": ("organization_id", "tier.add", 2),
    "organization to come": ("organization_id", "tier.add", 999),
    "subject": ("subject", "download", "01900000-0000-7000-8000-000000000000"),
    "subject of a person": ("subject", "person.add", "99"),
    "subject of a signature": ("subject", "signature.record", None),
    "stage": ("stage", "download", "gpt-2/124M"),
    "stage of a hold": ("stage", "hold.place", None),
    "code": ("code", "heartbeat", "ghost_read"),
    "person": ("person", "download", "owner@birch-university.example"),
    "person that is hidden": ("person", "download", None),
    "kind": ("kind", "download", "heartbeat"),
}


@cases("what", OTHERWISE)
def test_a_column_that_says_something_else_is_named(world: World, what: str) -> None:
    """A download that vanishes for its partner, and appears for another one, is a fault, and so with each column."""
    issuing.issue(world.use, world.caller("cleared"), world.order())
    holds.place(world.use, world.admin, "gpt-2/355M", "A finding.")
    world.plant(EntryKind.HEARTBEAT, {})
    world.seal()
    assert found(world) == []
    column, kind, value = OTHERWISE[what]
    number = world.entries(kind)[-1].id
    change(world, f"UPDATE log_entries SET {column} = :value WHERE id = {number}", value=value)  # noqa: S608
    assert {row for row, _ in found(world)} == {world.name_of(number)}
    assert {sentence for _, sentence in found(world)} == {
        f"its {column.removesuffix('_id')} column differs from its record"
    }


def test_the_columns_of_an_erased_entry_stay(world: World) -> None:
    """What the record no longer says, the entry that tells of the erasure does."""
    issuing.issue(world.use, world.caller("cleared"), world.order())
    world.seal()
    entry = world.entries("download")[-1]
    erasure.erase(world.use, world.admin, str(entry.subject), "The law.")
    world.seal()
    assert found(world) == []
    change(world, f"UPDATE log_entries SET organization_id = 3 WHERE id = {entry.id}")  # noqa: S608
    told = world.entries("entry.erase")[-1].id
    said = f"{world.name_of(entry.id)}, which it erased, has different columns than when it was erased"
    assert found(world) == [(world.name_of(told), said)]


def swap(world: World, first: int, second: int) -> None:
    for before, after in ((first, -1), (second, first), (-1, second)):
        change(world, f"UPDATE log_entries SET id = {after} WHERE id = {before}")  # noqa: S608


def test_two_rows_whose_ids_were_swapped_are_named(world: World) -> None:
    """In one round ids rise with the places in the tree: whatever lists by id tells the tree's story."""
    swap(world, 20, 30)
    assert ("entry 20", "its id is lower than that of an entry that was sealed before it") in found(world)


def test_ids_that_were_swapped_between_rounds_are_named(world: World) -> None:
    """What was appended after a round was sealed has no lower id than what is in it."""
    first, seal = world.entries()[-1].id, world.seal
    world.clock.offset += timedelta(minutes=5)
    world.plant(EntryKind.HEARTBEAT, {})
    seal()
    assert found(world) == []
    swap(world, first, first + 1)
    assert ("entry " + str(first), "its id is lower than that of an entry that was sealed before it") in found(world)


ROWS: dict[str, tuple[str, str]] = {
    "closed": ("closed_at = created_at", "its row says that it is closed, but no entry closes it"),
    "opened at another time": (
        "created_at = '2020-01-01 00:00:00+00:00'",
        "its row has a different opening time than its first entry",
    ),
    "another name": ("name = 'other'", "its first entry names a different origin"),
}


@cases("what", ROWS)
def test_a_log_s_row_that_says_something_else_is_named(world: World, what: str) -> None:
    """A log that is closed by hand takes no entry any more, and yet nothing in it says so."""
    setting, sentence = ROWS[what]
    change(world, f"UPDATE logs SET {setting}")  # noqa: S608
    assert sentence in {told for _, told in found(world)}


@pytest.fixture
def anchored(
    request: pytest.FixtureRequest, tmp_path: Path, embedded_store: EmbeddedStore
) -> Iterator[tuple[Resources, list[int]]]:
    """An instance whose last anchor was written five minutes ago; with the sizes of the last three."""
    clock, sizes = Clock(), []
    with ExitStack() as stack:
        database = {}
        if request.param == "postgresql":
            postgres: PostgreSQL = request.getfixturevalue("postgres")
            database["database_url"] = postgres.create("anchored")
            stack.callback(postgres.drop, "anchored")
        use = stack.enter_context(anchored_instance(tmp_path, embedded_store, clock, **database))
        for _ in range(3):
            clock.offset += timedelta(minutes=1)
            heartbeat.beat(use)
            seal_and_anchor(use)
            with use.database.reading() as session:
                row = logs.anchored(session, logs.current(session))
            assert row is not None
            sizes.append(row.size)
        clock.offset += timedelta(minutes=5)
        yield use, sizes


BACK = (lambda _: 0, lambda sizes: sizes[0], lambda sizes: sizes[1], lambda _: 10**6)


@pytest.mark.parametrize(
    ("anchored", "to"), [*(("sqlite", to) for to in BACK), ("postgresql", BACK[0])], indirect=["anchored"]
)
def test_anchored_logs_set_back_is_named(anchored: tuple[Resources, list[int]], to: Callable[[list[int]], int]) -> None:
    """What the database says was anchored is held against the anchors themselves."""
    use, sizes = anchored
    assert [fault for result in verifying.verify(use) for fault in result.faults] == []
    tampering.run(use.settings.database_url, f"UPDATE anchored_logs SET size = {to(sizes)}")  # noqa: S608
    (result,) = verifying.verify(use)
    assert [fault.row for fault in result.faults] == [f"anchored log {result.origin}"]
