"""Web workers are killed outright while clients ask: every URL that a client holds has a committed entry."""

import http.client
import os
import random
import signal
import sys
import threading
import time
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.e2e.serving import Served, served
from tests.faults.test_log_writes import ORDER
from tests.world import World

CLIENTS = 8
SHORT_SECONDS, LONG_SECONDS = 4, 25

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def load(server: Served, token: str, seconds: float) -> tuple[list[str], int, int]:
    """Ask with eight clients while workers are killed; return the URLs they hold, the kills and the lost requests."""
    held, lost, kills, chance = list[str](), [0], 0, random.Random(9)  # noqa: S311  # no secret
    ending = time.monotonic() + seconds

    def ask() -> None:
        while time.monotonic() < ending:
            try:
                status, answer = server.ask("POST", "/api/v1/downloads", token, ORDER)
            except (OSError, http.client.HTTPException):
                lost[0] += 1
                continue
            assert status in {201, 503}
            if status == 201:
                held.extend(file["url"] for file in answer["files"])

    threads = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    waiting = threading.Event()
    while time.monotonic() < ending:
        waiting.wait(chance.uniform(0.2, 0.6))
        workers = server.workers()
        if workers:
            os.kill(chance.choice(workers), signal.SIGKILL)
            kills += 1
    for thread in threads:
        thread.join(30)
    return held, kills, lost[0]


def require_all_logged(world: World, seconds: float) -> None:
    with served(world) as server:
        held, kills, lost = load(server, world.example.tokens["cleared"], seconds)
        # It goes on by itself: gunicorn has started new workers.
        deadline = time.monotonic() + 10
        status = 0
        while status != 201:
            assert time.monotonic() < deadline
            try:
                status, _ = server.ask("POST", "/api/v1/downloads", world.example.tokens["cleared"], ORDER)
            except (OSError, http.client.HTTPException):
                continue
    issued = {record["download"] for record in world.records("download")}
    ids = {parse_qs(urlsplit(url).query)["x-download-id"][0] for url in held}
    print(f"{world.kind}: {kills} kills, {lost} requests lost, {len(held)} URLs held, {len(issued)} entries, "
          f"{len(ids - issued)} unlogged")  # fmt: skip
    assert kills > 2
    assert held
    assert ids <= issued


def test_every_url_held_after_kills_has_its_entry(world: World) -> None:
    """A worker that dies at any moment loses a URL at worst, never an entry; the server goes on by itself."""
    require_all_logged(world, SHORT_SECONDS)


@pytest.mark.fault
def test_every_url_held_after_many_kills_has_its_entry(world: World) -> None:
    """The same for as long as the fault run takes."""
    require_all_logged(world, LONG_SECONDS)
