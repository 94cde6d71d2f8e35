"""Archives, judged: what `log archive` would never write is a fault; one of exactly its form is taken for its own."""

from collections.abc import Iterator

from server import dates
from server.domain.audit.judging.world import Record, Rule, World
from server.domain.audit.month import Month
from server.domain.entry_kinds import EntryKind
from server.log import archived
from server.log.archived import ARCHIVED_AFTER, Archive


def _archive(world: World, record: Record) -> Iterator[str]:
    if not set(record["kinds"]) <= archived.KINDS:
        yield "it archives records that are needed to verify others"
        return
    if not record["file"].startswith(Month.parse(record["month"]).folder):
        yield "it archives a month in the file of another"
        return
    if record["actor"].get("via") != "cli":
        yield "months are archived on the host only"
    if not record["because"].strip():
        yield "it does not say why"
    told = archived.parse(record)
    yield from _places_faults(world, told)
    if record["time"] < dates.milliseconds(Month.parse(told.month).until + ARCHIVED_AFTER):
        yield "it archives a month that was too young"
    before = world.archives.get(told.month)
    if told.follows(before):
        world.archives[told.month] = told
        if before is not None:
            yield from _replaces(world, told.month)
    elif before is None or told.records == before.records:
        yield "it does not name the file that was archived before"
    else:
        yield "it archives other entries than the one before"


def _places_faults(world: World, told: Archive) -> Iterator[str]:
    """Whether the places are of this log and of those before it: that their digest fits is seen row by row."""
    if unknown := sorted(told.records.keys() - set(world.origins)):
        yield f"it archives entries of {unknown[0]}, which is no log that was there"
    own = told.records.get(world.origins[-1]) if world.origins else None
    if own is not None and world.place is not None and own.last >= world.place:
        yield "it archives entries that came after it"


def _replaces(world: World, month: str) -> Iterator[str]:
    """Another file is written without what was erased, and for nothing else: each erasure allows one."""
    if not world.erasures[month]:
        yield "it replaces the file of a month in which nothing was erased since"
    world.erasures[month] = max(0, world.erasures[month] - 1)


RULES: dict[EntryKind, Rule] = {EntryKind.LOG_ARCHIVE: _archive}
