"""Whatever is killed outright while clients ask: every URL that a client holds has a committed, provable entry."""

import contextlib
import http.client
import os
import random
import signal
import sys
import threading
import time
from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from server.domain.audit import logs
from server.log import proofs, receipts, tree
from server.log.entries import commitment_of
from server.log.notes import VerifierKey
from tests.e2e.serving import Served, served
from tests.e2e.working import Worker, unsealed, working
from tests.faults.test_log_writes import ORDER
from tests.postgres import PostgreSQL
from tests.world import World, copied_world

CLIENTS = 8
SHORT_SECONDS, LONG_SECONDS = 4, 25
SHORT_SECONDS_OF_EVERYTHING = 6
PROVABLE_SECONDS = 60

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@dataclass
class Held:
    """What the clients got. answers: those with URLs; lost: requests that were not answered."""

    answers: list[dict[str, Any]] = field(default_factory=list)
    refused: int = 0
    lost: int = 0
    kills: Counter[str] = field(default_factory=Counter)

    @property
    def urls(self) -> list[str]:
        return [file["url"] for answer in self.answers for file in answer["files"]]

    @property
    def ids(self) -> set[str]:
        """As they stand in the URLs."""
        return {parse_qs(urlsplit(url).query)["x-download-id"][0] for url in self.urls}


def load(server: Served, token: str, seconds: float, kill: Callable[[random.Random], str | None]) -> Held:
    """Ask with eight clients while something is killed now and then; `kill` says what it killed."""
    held, chance = Held(), random.Random(9)  # noqa: S311  # no secret
    ending = time.monotonic() + seconds

    def ask() -> None:
        while time.monotonic() < ending:
            try:
                status, answer = server.ask("POST", "/api/v1/downloads", token, ORDER)
            except (OSError, http.client.HTTPException):
                held.lost += 1
                continue
            assert status in {201, 503}
            if status == 201:
                held.answers.append(answer)
            else:
                held.refused += 1

    threads = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    waiting = threading.Event()
    while time.monotonic() < ending:
        waiting.wait(chance.uniform(0.2, 0.6))
        if (what := kill(chance)) is not None:
            held.kills[what] += 1
    for thread in threads:
        thread.join(30)
    return held


def kill_web(server: Served, chance: random.Random) -> str | None:
    workers = server.workers()
    if not workers:
        return None
    os.kill(chance.choice(workers), signal.SIGKILL)
    return "web"


def require_all_logged(world: World, seconds: float) -> None:
    with served(world) as server, working(world):  # unsealed for 30 s, the log would be closed to entries
        token = world.example.tokens["cleared"]
        held = load(server, token, seconds, lambda chance: kill_web(server, chance))
        until_issued(server, token, 10)  # it goes on by itself: gunicorn has started new workers
    issued = {record["download"] for record in world.records("download")}
    print(f"{world.kind}: {sum(held.kills.values())} kills, {held.lost} requests lost, {len(held.urls)} URLs held, "
          f"{len(issued)} entries, {len(held.ids - issued)} unlogged")  # fmt: skip
    assert held.kills["web"] > 2
    assert held.urls
    assert held.ids <= issued


def until_issued(server: Served, token: str, seconds: float) -> None:
    until(server, 201, "POST", "/api/v1/downloads", token, ORDER, seconds)


def until(
    server: Served, wanted: int, method: str, path: str, token: str | None, body: Any = None, seconds: float = 20
) -> None:
    """Ask until the answer has this status."""
    deadline, status = time.monotonic() + seconds, 0
    while status != wanted:
        assert time.monotonic() < deadline
        with contextlib.suppress(OSError, http.client.HTTPException):
            status, _ = server.ask(method, path, token, body)


def test_every_url_held_after_kills_has_its_entry(sqlite_world: World) -> None:
    """A web worker that dies at any moment loses a URL at worst, never an entry; the server goes on by itself."""
    require_all_logged(sqlite_world, SHORT_SECONDS)


@pytest.mark.fault
def test_every_url_held_after_many_kills_has_its_entry(world: World) -> None:
    """The same for as long as the fault run takes."""
    require_all_logged(world, LONG_SECONDS)


class Everything:
    """Kills web workers, one of two sealers, or PostgreSQL whole; starts again what does not start by itself."""

    def __init__(self, world: World, postgres: PostgreSQL, server: Served, sealers: list[Worker]) -> None:
        self._world, self._postgres, self._server, self._sealers = world, postgres, server, sealers
        self._first = ["postgresql", "sealer", "web"]  # from the last on, each at least once, however short

    def revive(self) -> None:
        """As `serve` and systemd do: a worker that begins while PostgreSQL is away ends."""
        for number, sealer in enumerate(self._sealers):
            if sealer.process.poll() is not None:
                self._sealers[number] = Worker(self._world.folder, number)

    def kill(self, chance: random.Random) -> str | None:
        self.revive()
        what = self._first[-1] if self._first else chance.choices(["web", "sealer", "postgresql"], [4, 3, 1])[0]
        if what == "web" and kill_web(self._server, chance) is None:
            return None
        self._first = self._first[:-1]
        if what == "postgresql":
            self._postgres.kill()
            self._postgres.start_again()
        elif what == "sealer":
            number = chance.randrange(len(self._sealers))
            self._sealers[number].end(signal.SIGKILL)
            self._sealers[number] = Worker(self._world.folder, number)
        return what


def require_all_provable(world: World, postgres: PostgreSQL, seconds: float) -> None:
    postgres.run("CHECKPOINT")  # the sequences of a database that was copied lose their lead in a crash before one
    token = world.example.tokens["cleared"]
    with served(world) as server, working(world, 2) as sealers:
        sealers[0].until(lambda: unsealed(world) == 0)
        everything = Everything(world, postgres, server, sealers)
        held = load(server, token, seconds, everything.kill)
        recovered = time.monotonic()
        until_issued(server, token, 10)
        until_sealed(world, everything, recovered)
        require_proofs(world, server, held)
        took = time.monotonic() - recovered
        assert took < PROVABLE_SECONDS
    entries = world.entries()
    issued = {entry.subject for entry in entries if entry.kind == "download"}
    assert held.ids <= issued
    assert sorted(entry.leaf_index for entry in entries if entry.leaf_index is not None) == list(range(len(entries)))
    assert world.faults() == []
    assert min(held.kills[what] for what in ("web", "sealer", "postgresql")) > 0
    print(f"kills {dict(held.kills)}, {held.refused} answers of 503, {held.lost} requests lost, {len(held.urls)} URLs "
          f"held, {len(entries)} entries, {len(held.ids - issued)} unlogged, {len(held.answers)} receipts proven "
          f"within {took:.1f} s")  # fmt: skip


def until_sealed(world: World, everything: Everything, since: float) -> None:
    while unsealed(world):
        assert time.monotonic() < since + PROVABLE_SECONDS
        everything.revive()
        time.sleep(0.2)


def require_proofs(world: World, server: Served, held: Held) -> None:
    """Every receipt that a client holds is proven by what the server answers now."""
    with world.use.database.reading() as session:
        log = logs.current(session)
    head_key, receipt_key = VerifierKey.parse(log.vkey), VerifierKey.parse(log.receipt_vkey)
    for answer in held.answers:
        receipt = receipts.verify(answer["receipt"].encode(), receipt_key)
        path = f"/api/v1/downloads/{answer['id']}/proof"
        status, proof = server.ask("GET", path, world.example.tokens["cleared"])
        assert status == 200, (status, proof)
        assert receipt.leaf == tree.leaf_hash(commitment_of(b64decode(answer["salt"]), answer["record"].encode()))
        assert proofs.verify(proof, receipt.leaf, head_key).origin == receipt.log == log.origin


@pytest.fixture
def postgresql_world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    yield from copied_world(request, tmp_path, "postgresql")


def test_web_workers_that_begin_without_the_database_end_nobody(postgresql_world: World, postgres: PostgreSQL) -> None:
    """All are killed while PostgreSQL is away: the new ones answer 503, and issue when it is back."""
    token = postgresql_world.example.tokens["cleared"]
    postgres.run("CHECKPOINT")  # as above
    with served(postgresql_world) as server:
        postgres.kill()
        try:
            for worker in server.workers():
                os.kill(worker, signal.SIGKILL)
            until(server, 200, "GET", "/healthz", None)
            assert server.ask("POST", "/api/v1/downloads", token, ORDER)[0] == 503
        finally:
            postgres.start_again()
        until_issued(server, token, 10)


def test_every_receipt_held_after_kills_of_everything_is_proven(postgresql_world: World, postgres: PostgreSQL) -> None:
    """Web workers, sealers and PostgreSQL die at any moment: nothing that a client holds is missing from the tree."""
    require_all_provable(postgresql_world, postgres, SHORT_SECONDS_OF_EVERYTHING)


@pytest.mark.fault
def test_every_receipt_held_after_many_kills_of_everything_is_proven(
    postgresql_world: World, postgres: PostgreSQL
) -> None:
    """The same for as long as the fault run takes."""
    require_all_provable(postgresql_world, postgres, LONG_SECONDS)
