"""Five sealers at once, each of which dies at one commit in seventeen: one root for each size, ever."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from server.domain.downloads import issuing
from server.log import heads, published
from server.log.notes import VerifierKey
from server.log.sealing import LogHead
from tests.e2e.working import unsealed
from tests.world import World

SHORT_SECONDS, LONG_SECONDS = 3, 25
WRITERS = 2
WAIT_SECONDS = 20


@contextmanager
def crashing_sealers(folder: Path) -> Iterator[Counter[str]]:
    """Run them on the instance in a folder; what they did is in the dictionary when the block is left."""
    command = [sys.executable, "-m", "tests.faults.crashing_sealers", str(folder), "1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    did = Counter[str]()
    try:
        yield did
        process.send_signal(signal.SIGTERM)
        did.update(json.loads(process.communicate(timeout=WAIT_SECONDS)[0]))
    finally:
        process.kill()
        process.wait()


class Observer:
    """Whoever follows the log from outside: keeps every head that was ever published."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.roots: dict[int, set[bytes]] = {}
        self.largest = 0

    def look(self) -> None:
        with self._world.use.database.reading() as session:
            log = published.find(session, None)
            head = heads.verify(published.head(session, log).note.encode(), VerifierKey.parse(log.vkey))
        assert head.size >= self.largest
        self.largest = head.size
        self.roots.setdefault(head.size, set()).add(head.root)


def run(world: World, seconds: float) -> tuple[Observer, Counter[str]]:
    """Let clients issue and an observer look while the sealers seal and die; return what both saw."""
    observer, stopping, failures = Observer(world), threading.Event(), list[BaseException]()
    caller = world.caller("cleared")

    def repeat(work: Any) -> None:
        try:
            while not stopping.wait(0.002):
                work()
        except BaseException as error:
            failures.append(error)

    def issue() -> None:
        issuing.issue(world.use, caller, world.order())

    threads = [threading.Thread(target=repeat, args=(work,)) for work in (*[issue] * WRITERS, observer.look)]
    with crashing_sealers(world.folder) as did:
        issue()
        until_sealed(world)  # they have begun
        for thread in threads:
            thread.start()
        stopping.wait(seconds)
        stopping.set()
        for thread in threads:
            thread.join(WAIT_SECONDS)
        until_sealed(world)
        observer.look()
    assert failures == []
    return observer, did


def until_sealed(world: World) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while unsealed(world):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def enough(did: Counter[str]) -> bool:
    """Whether the sealers sealed and died often enough to have met each other."""
    return did["rounds"] > 10 and did["crashed before COMMIT"] + did["crashed after COMMIT"] > 2


def require_one_root_per_size(world: World, seconds: float) -> None:
    observer, did = run(world, seconds)
    while not enough(did) and seconds < LONG_SECONDS:  # a busy machine
        seconds *= 2
        seen, more = run(world, seconds)
        for size, roots in seen.roots.items():
            observer.roots.setdefault(size, set()).update(roots)
        did += more
    with world.use.database.reading() as session:
        kept = {row.size: row.root for row in session.query(LogHead)}
    entries = world.entries()
    print(f"{world.kind}: {len(entries)} entries, {len(kept)} heads kept, {len(observer.roots)} sizes seen, {did}")
    assert {size: {kept[size]} for size in observer.roots} == observer.roots
    assert [entry.leaf_index for entry in entries if entry.leaf_index is not None]
    assert sorted(entry.leaf_index or 0 for entry in entries) == list(range(len(entries)))
    assert max(kept) == len(entries)
    assert world.faults() == []
    assert enough(did), did
    assert "failed" not in did


def test_five_sealers_that_crash_at_their_commits_sign_one_root_per_size(world: World) -> None:
    """Whichever of them comes, whatever is left of the one before: no size is ever published with two roots."""
    require_one_root_per_size(world, SHORT_SECONDS)


@pytest.mark.fault
def test_five_sealers_that_crash_for_long_sign_one_root_per_size(world: World) -> None:
    """The same for as long as the fault run takes."""
    require_one_root_per_size(world, LONG_SECONDS)
