"""The memory of a web process: its threads share arenas, and garbage is not looked for in what it has loaded."""

import re
import sys
import threading
from http.client import HTTPConnection
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from server.web.memory import ARENAS
from tests.e2e.serving import served
from tests.world import World

THREADS = 8
ARENA_BYTES = 64 << 20  # for an arena of threads, on 64-bit systems (glibc: HEAP_MAX_SIZE)
_MAPPING = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) (\S+)", re.MULTILINE)


def arenas(worker: int) -> int:
    """The main one and those that threads began: each on a multiple of its size, used in part, the rest set aside."""
    maps = [
        (int(start, 16), int(end, 16), may)
        for start, end, may in _MAPPING.findall(Path(f"/proc/{worker}/maps").read_text())
    ]
    of_threads = [
        start
        for (start, end, may), rest in pairwise(maps)
        if may == "rw-p" and start % ARENA_BYTES == 0 and rest == (end, start + ARENA_BYTES, "---p")
    ]
    return 1 + len(of_threads)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_all_threads_share_two_arenas(sqlite_world: World) -> None:
    with served(sqlite_world, web_workers=1, web_threads=THREADS, logger_level="warning") as web:
        (worker,) = web.workers()

        def ask() -> None:
            connection = HTTPConnection("127.0.0.1", web.port, timeout=30)
            for _ in range(10):
                connection.request("GET", "/models")
                connection.getresponse().read()
            connection.close()

        def all_awake() -> bool:
            return psutil.Process(worker).num_threads() > THREADS  # one more is the event loop

        for _ in range(20):
            if all_awake():
                break
            askers = [threading.Thread(target=ask) for _ in range(2 * THREADS)]
            for asker in askers:
                asker.start()
            for asker in askers:
                asker.join()
        assert all_awake()
        assert arenas(worker) <= ARENAS


def test_garbage_is_not_looked_for_in_what_is_loaded(sqlite_world: World) -> None:
    with served(sqlite_world, "tests.web.frozen_app:app", logger_level="warning") as web:
        _, (left_out, looked_at) = web.ask("GET", "/", None)
    assert left_out > 20 * looked_at
