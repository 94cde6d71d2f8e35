"""Whoever owns the database changes the log under the running server: it stops, issuing stops, and both say so.

What was sealed with the right key over the wrong entries only the anchors can tell. What `log verify` says of each is
in `tests/log/test_verification.py`.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from server.domain.audit import logs, sealer
from server.log import heads, tiles, tree
from server.log.entries import commitment_of
from server.log.heads import Head
from server.log.sealing import LogHead
from server.storage.embedded import EmbeddedStore
from tests import tampering
from tests.e2e.serving import Served, served
from tests.e2e.working import anchor, working
from tests.faults.test_log_writes import ORDER
from tests.world import World, copied_world


@dataclass
class Instance:
    """A world that is being served; its worker comes and goes, so that something is left unsealed to be changed."""

    world: World
    server: Served

    @property
    def url(self) -> str:
        return self.world.settings.database_url

    def issue(self) -> int:
        return self.server.ask("POST", "/api/v1/downloads", self.world.example.tokens["cleared"], ORDER)[0]

    def ready(self) -> int:
        return self.server.ask("GET", "/readyz", None)[0]

    def stop_reason(self) -> str | None:
        with self.world.use.database.reading() as session:
            return logs.current(session).stop_reason

    def go_on(self) -> None:
        """What the runbook says, once what was changed is as it was."""
        tampering.run(self.url, "UPDATE logs SET stop_reason = NULL, stopped_at = NULL")

    def require_stopped(self, what: str) -> None:
        """Nothing is issued, and whoever asks is told that it is not ready."""
        assert re.search(what, str(self.stop_reason()))
        entries = len(self.world.entries("download"))
        assert (self.issue(), self.ready()) == (503, 503)
        assert len(self.world.entries("download")) == entries

    def one(self, query: str) -> Any:
        ((value,),) = tampering.run(self.url, query)
        return value


Undo = Callable[[], object]
Change = Callable[[Instance], tuple[str, Undo]]  # returns what is said of it (a pattern), and what undoes it


def unsealed_row(there: Instance) -> tuple[str, Undo]:
    assert there.issue() == 201
    number = there.one("SELECT max(id) FROM log_entries WHERE leaf_index IS NULL AND kind = 'download'")
    said = rf"an unsealed entry \(row {number}\) does not match its commitment"
    return said, flipped(there, "log_entries", "record", f"id = {number}")


def edge_tile(there: Instance) -> tuple[str, Undo]:
    where = "level = 0 AND number = (SELECT max(number) FROM log_tiles WHERE level = 0)"
    seen = "the tiles at the edge do not match the root|tile 0/0: it does not match the entries"  # whoever looks first
    return seen, flipped(there, "log_tiles", "data", where, -1)


def old_row(there: Instance) -> tuple[str, Undo]:
    return "entry 3: its record or salt was changed", flipped(there, "log_entries", "record", "leaf_index = 3")


def swapped_rows(there: Instance) -> tuple[str, Undo]:
    def swap() -> None:
        for before, after in ((5, -5), (6, 5), (-5, 6)):
            tampering.run(there.url, f"UPDATE log_entries SET leaf_index = {after} WHERE leaf_index = {before}")  # noqa: S608

    swap()
    return "tile 0/0: it does not match the entries", swap


def deleted_row(there: Instance) -> tuple[str, Undo]:
    tampering.run(there.url, "CREATE TABLE kept AS SELECT * FROM log_entries WHERE leaf_index = 7",
                  "DELETE FROM log_entries WHERE leaf_index = 7")  # fmt: skip
    back = ("INSERT INTO log_entries SELECT * FROM kept", "DROP TABLE kept")
    return "tile 0/0: some of its entries are missing", lambda: tampering.run(there.url, *back)


def flipped(there: Instance, table: str, column: str, where: str, at: int = 20) -> Undo:
    tampering.flip(there.url, table, column, where, at)
    return lambda: tampering.flip(there.url, table, column, where, at)


def head_size(there: Instance) -> None:
    tampering.run(there.url, "UPDATE log_heads SET size = size + 1 WHERE size = (SELECT max(size) FROM log_heads)")


def fork(there: Instance) -> None:
    """Change who took a shard, and with the stolen key seal everything anew: nothing in the database tells."""
    world = there.world
    number = there.one("SELECT max(id) FROM log_entries WHERE kind = 'download' AND leaf_index IS NOT NULL")
    entry = next(entry for entry in world.entries() if entry.id == number)
    record = entry.record.replace(b'"address":"127.0.0.1"', b'"address":"127.0.0.2"')
    assert record != entry.record
    commitment = commitment_of(entry.salt, record)
    tampering.run(there.url, "UPDATE log_entries SET record = :record, commitment = :commitment WHERE id = :number",
                  record=record, commitment=commitment, number=number)  # fmt: skip
    places = sorted((one for one in world.entries() if one.leaf_index is not None), key=lambda one: one.leaf_index or 0)
    leaves = [tree.leaf_hash(one.commitment) for one in places]
    with world.use.database.reading() as session:
        log, sizes = logs.current(session), [row.size for row in session.query(LogHead)]
    for (level, index), data in tiles.append({}, 0, leaves).items():
        tampering.run(there.url, "UPDATE log_tiles SET data = :data WHERE level = :level AND number = :number",
                      data=data, level=level, number=index)  # fmt: skip
    for size in sizes:
        root = tree.root(leaves[:size])
        note = heads.sign(Head(log.origin, size, root), world.use.log_signer(log.vkey)).decode()
        tampering.run(there.url, "UPDATE log_heads SET root = :root, note = :note WHERE size = :size",
                      root=root, note=note, size=size)  # fmt: skip


def require_found(there: Instance, change: Change) -> float:
    """Change something, see that the worker stops the log and that nothing is issued, undo it, and go on."""
    said, undo = change(there)
    with working(there.world) as (worker,):
        took = worker.until(there.stop_reason)
        there.require_stopped(said)
        assert worker.process.poll() is None  # the other jobs go on
    undo()
    there.go_on()
    return took


def require_refused(world: World, said: str) -> None:
    """The worker finds at its start that the log is not the one that was anchored, and ends."""
    with working(world) as (worker,):
        assert worker.wait() == 1
        assert said in worker.messages


def run_all(world: World, store: EmbeddedStore, changes: tuple[Change, ...]) -> None:
    anchor(world, store)
    world.tampered = True
    with served(world) as server:
        there = Instance(world, server)
        for change in changes:
            took = require_found(there, change)
            print(f"{world.kind}, {change.__name__}: found {took:.1f} s after the worker's start")
        assert there.issue() == 201
        assert world.seal() > 0
        sealer.anchor(world.use)  # a worker may have been killed after an anchor and before it was noted
        assert world.faults() == []  # everything was undone
        head_size(there)
        require_refused(world, "the log is not the one whose head was anchored")
        there.require_stopped("the log is not the one whose head was anchored")
        tampering.run(there.url, "UPDATE log_heads SET size = size - 1 WHERE size = (SELECT max(size) FROM log_heads)")
        there.go_on()
        fork(there)
        assert {fault.sentence.partition(":")[0] for fault in world.faults()} == {"a different head was anchored"}
        require_refused(world, "the log is not the one whose head was anchored")
        there.require_stopped("the log is not the one whose head was anchored")


@pytest.fixture
def postgresql_world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    yield from copied_world(request, tmp_path, "postgresql")


def test_what_is_changed_stops_the_log_and_all_issuing(postgresql_world: World, embedded_store: EmbeddedStore) -> None:
    """An unsealed row and an edge tile at once, an old row by looking again, and a stolen key's fork by the anchors."""
    run_all(postgresql_world, embedded_store, (unsealed_row, edge_tile, old_row))


@pytest.mark.fault
def test_rows_that_are_swapped_or_deleted_stop_it_as_well(world: World, embedded_store: EmbeddedStore) -> None:
    """The same on both databases, with every other way to change an old row."""
    run_all(world, embedded_store, (unsealed_row, edge_tile, old_row, swapped_rows, deleted_row))
