"""F10 on the cluster: whoever owns PostgreSQL changes the log under two machines, and no machine issues or seals on."""

import contextlib
import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from sqlalchemy import func, select

from server.domain.audit import sealer
from server.domain.resources import Resources
from server.log.entries import LogEntry
from tests.cluster import checks
from tests.cluster.cluster import Cluster
from tests.cluster.machines import Machine
from tests.cluster.test_faults import issue, until_issued
from tests.faults import changes
from tests.faults.changes import Change

FOUND_SECONDS = 30
ASKED = 6  # both machines have their turn
ANCHORED = "the log is not the one whose head was anchored"
CHANGES: tuple[Change, ...] = (
    changes.unsealed_row,
    changes.edge_tile,
    changes.old_row,
    changes.swapped_rows,
    changes.deleted_row,
)
BUSY = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'weightgate_sealer' AND state <> 'idle'"

pytestmark = pytest.mark.fault


@dataclass
class Owned:
    """The cluster for whoever owns its database. url: of the role that owns the tables."""

    cluster: Cluster
    use: Resources

    @property
    def url(self) -> str:
        return self.cluster.database_url("owner")

    def issue(self) -> int:
        return int(issue(self.cluster).status_code)

    def require_stopped(self) -> None:
        """Neither machine issues anything, and nothing is appended for it."""
        before = checks.entries(self.cluster)
        assert {self.issue() for _ in range(ASKED)} == {503}
        assert checks.entries(self.cluster) == before

    def verified(self) -> list[str]:
        """What `log verify` names."""
        done = self.cluster.machines[1].run("log", "verify", "--json")
        said: dict[str, Any] = json.loads(done.stdout)
        assert done.returncode == (0 if said["ok"] else 1), done.stderr
        return [f"{fault['row']}: {fault['sentence']}" for fault in said["faults"]]


@pytest.fixture
def owned(own_cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Owned]:
    """With a few downloads that are sealed and anchored."""
    monkeypatch.setenv("AWS_CA_BUNDLE", str(own_cluster.front.authorities))
    with own_cluster.resources() as use:
        until_issued(own_cluster)
        for _ in range(ASKED):
            assert issue(own_cluster).status_code == 201
        until(lambda: unsealed(own_cluster) == 0)
        with contextlib.closing(use.as_sealer()) as sealing:
            sealer.anchor(sealing)
        yield Owned(own_cluster, use)


def test_whatever_is_changed_stops_both_machines(owned: Owned) -> None:
    """A row that is edited, swapped or deleted, a tile's byte: sealers refuse, nothing is issued, each is named."""
    for change in CHANGES:
        with standing_sealers(owned.cluster):
            marks = [(machine.folder / "worker.log").stat().st_size for machine in owned.cluster.machines]
            said, undo = change(owned)
            began = time.monotonic()
        until(lambda: changes.stop_reason(owned.use))
        took = time.monotonic() - began
        assert re.search(said, str(changes.stop_reason(owned.use))), change.__name__
        owned.require_stopped()
        named = owned.verified()
        assert named != [], change.__name__
        for machine, mark in zip(owned.cluster.machines, marks, strict=True):  # each refuses; its other jobs go on
            until(partial(has_refused, machine, mark))
            assert machine.processes["worker"].poll() is None
        print(f"{change.__name__}: the log was stopped after {took:.1f} s; {named[0]}")
        undo()
        changes.go_on(owned.url)
        assert owned.verified() == []
        until_issued(owned.cluster)
    assert owned.cluster.stopped() == []


def test_a_stolen_key_is_found_by_the_anchors(owned: Owned) -> None:
    """The head's size, and a fork that the log's own key signed: no sealer starts, and neither machine issues."""
    undo = changed(owned, lambda: changes.head_size(owned.url))
    assert any(re.search("head of size|anchored", named) for named in owned.verified())
    undo()
    changes.go_on(owned.url)
    assert owned.verified() == []
    until_issued(owned.cluster)
    changed(owned, lambda: changes.fork(owned))
    assert {named.partition(": ")[2].partition(":")[0] for named in owned.verified()} == {
        "a different head was anchored"
    }


@contextlib.contextmanager
def standing_sealers(cluster: Cluster) -> Iterator[None]:
    """Both workers stand still, in the middle of no transaction, so that something stays unsealed."""
    groups = [machine.processes["worker"].pid for machine in cluster.machines]
    signal_all(groups, signal.SIGSTOP)
    while cluster.postgres.run(BUSY) != [(0,)]:
        signal_all(groups, signal.SIGCONT)
        time.sleep(0.05)
        signal_all(groups, signal.SIGSTOP)
    try:
        yield
    finally:
        signal_all(groups, signal.SIGCONT)


def signal_all(groups: list[int], number: signal.Signals) -> None:
    for group in groups:
        os.killpg(group, number)


def has_refused(machine: Machine, mark: int) -> bool:
    """Whether a machine's sealer has said that it does not seal, after so many bytes of messages."""
    with (machine.folder / "worker.log").open("rb") as messages:
        messages.seek(mark)
        return any(b'"SealingStopped"' in line and b'"seal"' in line for line in messages)


def unsealed(cluster: Cluster) -> int:
    with cluster.resources() as use, use.database.reading() as session:
        return session.scalar(select(func.count()).where(LogEntry.leaf_index.is_(None))) or 0


def until(condition: Callable[[], object], every_seconds: float = 0.05) -> None:
    deadline = time.monotonic() + FOUND_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(every_seconds)


def changed(owned: Owned, change: Callable[[], Any]) -> Any:
    """Change something while both workers are started again: each finds it before it seals anything."""
    for machine in owned.cluster.machines:
        machine.stop("worker")
    done = change()
    for machine in owned.cluster.machines:
        machine.start("worker")
    for machine in owned.cluster.machines:
        assert machine.processes["worker"].wait(FOUND_SECONDS) == 1
        assert ANCHORED in machine.said("worker")
    assert ANCHORED in str(changes.stop_reason(owned.use))
    owned.require_stopped()
    return done
