"""Rules for decoys: each is placed once, and removed once."""

from collections.abc import Iterator

from server.domain.audit.judging.world import Decoy, JudgedByNothing, Record, Rule, World
from server.domain.entry_kinds import EntryKind


def _place(world: World, record: Record) -> Iterator[str]:
    if record["stage"] not in world.stages:
        yield "it places a decoy among the objects of a stage that was never added"
    if record["decoy"] in world.decoys:
        yield f"decoy {record['decoy']} was already placed"
    world.decoys[record["decoy"]] = Decoy(record["stage"], record["object_key"], record["size_bytes"])


def _remove(world: World, record: Record) -> Iterator[str]:
    decoy = world.decoys.get(record["decoy"])
    if decoy is None or decoy.removed:
        yield "it removes a decoy that was not placed, or was removed before"
    else:
        decoy.removed = True


RULES: dict[EntryKind, Rule | JudgedByNothing] = {EntryKind.DECOY_PLACE: _place, EntryKind.DECOY_REMOVE: _remove}
