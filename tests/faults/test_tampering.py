"""Whoever owns the database changes the log under the running server: it stops, issuing stops, and both say so.

What was sealed with the right key over the wrong entries only the anchors can tell. What `log verify` says of each is
in `tests/log/test_verification.py`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from server.domain.audit import sealer
from server.domain.resources import Resources
from server.storage.embedded import EmbeddedStore
from tests.e2e.serving import Served, served
from tests.e2e.working import anchor, working
from tests.faults import changes
from tests.faults.changes import Change
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

    @property
    def use(self) -> Resources:
        return self.world.use

    def issue(self) -> int:
        return self.server.ask("POST", "/api/v1/downloads", self.world.example.tokens["cleared"], ORDER)[0]

    def ready(self) -> int:
        return self.server.ask("GET", "/readyz", None)[0]

    def require_stopped(self, what: str) -> None:
        """Nothing is issued, and whoever asks is told that it is not ready."""
        assert re.search(what, str(changes.stop_reason(self.use)))
        entries = len(self.world.entries("download"))
        assert (self.issue(), self.ready()) == (503, 503)
        assert len(self.world.entries("download")) == entries


def require_found(there: Instance, change: Change) -> float:
    """Change something, see that the worker stops the log and that nothing is issued, undo it, and go on."""
    said, undo = change(there)
    with working(there.world) as (worker,):
        took = worker.until(lambda: changes.stop_reason(there.use))
        there.require_stopped(said)
        assert worker.process.poll() is None  # the other jobs go on
    undo()
    changes.go_on(there.url)
    return took


def require_refused(world: World, said: str) -> None:
    """The worker finds at its start that the log is not the one that was anchored, and ends."""
    with working(world) as (worker,):
        assert worker.wait() == 1
        assert said in worker.messages


def run_all(world: World, store: EmbeddedStore, which: tuple[Change, ...]) -> None:
    anchor(world, store)
    world.tampered = True
    with served(world) as server:
        there = Instance(world, server)
        for change in which:
            took = require_found(there, change)
            print(f"{world.kind}, {change.__name__}: found {took:.1f} s after the worker's start")
        assert there.issue() == 201
        assert world.seal() > 0
        sealer.anchor(world.use)  # a worker may have been killed after an anchor and before it was noted
        assert world.faults() == []  # everything was undone
        undo = changes.head_size(there.url)
        require_refused(world, "the log is not the one whose head was anchored")
        there.require_stopped("the log is not the one whose head was anchored")
        undo()
        changes.go_on(there.url)
        changes.fork(there)
        assert {fault.sentence.partition(":")[0] for fault in world.faults()} == {"a different head was anchored"}
        require_refused(world, "the log is not the one whose head was anchored")
        there.require_stopped("the log is not the one whose head was anchored")


@pytest.fixture
def postgresql_world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    yield from copied_world(request, tmp_path, "postgresql")


def test_what_is_changed_stops_the_log_and_all_issuing(postgresql_world: World, embedded_store: EmbeddedStore) -> None:
    """An unsealed row and an edge tile at once, an old row by looking again, and a stolen key's fork by the anchors."""
    run_all(postgresql_world, embedded_store, (changes.unsealed_row, changes.edge_tile, changes.old_row))


@pytest.mark.fault
def test_rows_that_are_swapped_or_deleted_stop_it_as_well(world: World, embedded_store: EmbeddedStore) -> None:
    """The same on both databases, with every other way to change an old row."""
    run_all(
        world,
        embedded_store,
        (changes.unsealed_row, changes.edge_tile, changes.old_row, changes.swapped_rows, changes.deleted_row),
    )
