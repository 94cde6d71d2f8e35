"""Rules for decoys, and their table against the log: who unwatches one by hand is named."""

import pytest

from server.domain.audit import verifying
from server.domain.delivery import decoys
from tests import tampering
from tests.world import World

STAGE = "gpt-2/774M"


def found(world: World, *, tables: bool = False) -> list[tuple[str, str]]:
    world.seal()
    told = verifying.verify(world.use, tables=tables)
    return [(fault.row, fault.sentence) for result in told for fault in result.faults]


def test_placed_and_removed_once(world: World) -> None:
    """By the real commands all is well, with the tables; planted again, each is a fault."""
    for _ in range(2):
        placed = decoys.place(world.use, world.admin, STAGE, 1)
    decoys.remove(world.use, world.admin, placed.id)
    assert found(world, tables=True) == []
    told = {"actor": world.admin.as_record(), "decoy": 9, "stage": "gpt-2/9B"}
    planted = [
        ("decoy.place", told | {"object_key": "k", "size_bytes": 1},
         "it places a decoy among the objects of a stage that was never added"),
        ("decoy.place", told | {"stage": STAGE, "object_key": "k", "size_bytes": 1}, "decoy 9 was already placed"),
        ("decoy.remove", told | {"decoy": 10}, "it removes a decoy that was not placed, or was removed before"),
        ("decoy.remove", told | {"decoy": placed.id}, "it removes a decoy that was not placed, or was removed before"),
    ]  # fmt: skip
    sentences = [(world.plant(kind, record), sentence) for kind, record, sentence in planted]
    assert found(world) == [(world.name_of(number), sentence) for number, sentence in sentences]
    decoys.remove(world.use, world.admin, 1)


CHANGED = {
    "its key": ("UPDATE decoys SET object_key = 'k'", "its object key differs from the log"),
    "its removal": ("UPDATE decoys SET removed_at = placed_at", "its removal differs from the log"),
    "the whole row": ("DELETE FROM decoys", "it is in the log, but there is no such row"),
}


@pytest.mark.parametrize("case", CHANGED)
def test_a_row_that_was_changed_is_named(sqlite_world: World, case: str) -> None:
    """Whoever takes it away could read the object, and no alarm would be raised."""
    world = sqlite_world
    placed = decoys.place(world.use, world.admin, STAGE, 1)
    statement, sentence = CHANGED[case]
    tampering.run(world.settings.database_url, statement)
    world.tampered = True
    assert found(world, tables=True) == [(f"decoys {placed.id}", sentence)]
