"""A database that is locked, full, frozen or gone: only 503, soon; what was acknowledged is stored; then it goes on."""

import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url

from server.web import app as web
from tests.faults.proxy import Proxy, Verdict
from tests.faults.test_log_writes import ORDER, require_unavailable
from tests.postgres import PostgreSQL
from tests.world import WatchedResources, World, copied_world, write_settings

ANSWER_SECONDS = 5.5  # "within 5 s", and a little for a busy machine
RECOVERY_SECONDS = 10
TRIES = 20
LOCKING = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""
WRITING = """
import fcntl, sys
lock = open(sys.argv[1] + ".writer", "r+")
fcntl.flock(lock, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def postgresql_world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    yield from copied_world(request, tmp_path, "postgresql")


def ask_at_once(world: World, clients: int) -> list[tuple[float, Any]]:
    """Send so many requests at the same time; return how long each took, and its answer."""
    app, answers = web.create(world.use), list[tuple[float, Any]]()

    def ask() -> None:
        began = time.monotonic()
        headers = {"Authorization": f"Bearer {world.example.tokens['cleared']}"}
        answer = app.test_client().post("/api/v1/downloads", json=ORDER, headers=headers)
        answers.append((time.monotonic() - began, answer))

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(answers) == clients
    return answers


def require_soon_unavailable(answers: list[tuple[float, Any]]) -> None:
    for _, answer in answers:
        require_unavailable(answer)
    assert max(seconds for seconds, _ in answers) < ANSWER_SECONDS


@contextmanager
def locked(world: World, how: str = LOCKING) -> Iterator[None]:
    """Another process holds what an append needs."""
    if world.kind == "sqlite":
        path = str(make_url(world.settings.database_url).database)
        command = [sys.executable, "-c", how, path]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "locked\n"
            yield
            assert process.stdin is not None
            process.stdin.close()
        return
    url = world.settings.database_url.replace("postgresql+psycopg", "postgresql")
    with psycopg.connect(url) as connection:
        connection.execute("LOCK TABLE log_entries IN ACCESS EXCLUSIVE MODE")
        yield


def require_answers_while_locked(world: World, how: str = LOCKING) -> None:
    assert world.api("POST", "/downloads", json=ORDER).status_code == 201
    late: list[tuple[float, Any]] = []
    with locked(world, how):
        # The second wave comes when the first has waited a while: turns must not add up.
        timer = threading.Timer(2, lambda: late.extend(ask_at_once(world, 3)))
        timer.start()
        early = ask_at_once(world, 3)
        timer.join(60)
    require_soon_unavailable(early + late)
    assert world.api("POST", "/downloads", json=ORDER).status_code == 201


def test_a_locked_database_is_answered_within_five_seconds(world: World) -> None:
    """Another process holds the lock: everyone who asks gets 503 in time, also those who came while others waited."""
    require_answers_while_locked(world)


def test_a_writer_that_hangs_does_not_hang_the_others(sqlite_world: World) -> None:
    """Another process of ours keeps its turn and does nothing: the same."""
    require_answers_while_locked(sqlite_world, WRITING)


@contextmanager
def no_more_pages(world: World) -> Iterator[Callable[[], None]]:
    """SQLite may not grow the database file."""

    def pragma(text: str) -> int:
        """On the connection that writes; what it holds is its own."""
        driver: Any = world.use.database._group.connection().connection.driver_connection
        return int(driver.execute(f"PRAGMA {text}").fetchone()[0])

    pragma(f"max_page_count = {pragma('page_count') + 2}")

    def make_room() -> None:
        pragma("max_page_count = 1000000")

    yield make_room


@contextmanager
def no_larger_files(world: World) -> Iterator[Callable[[], None]]:
    """The system refuses to write beyond a size, in the write-ahead log or anywhere."""
    wal = Path(f"{make_url(world.settings.database_url).database}-wal")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (wal.stat().st_size + 100_000, before[1]))

    def make_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    try:
        yield make_room
    finally:
        make_room()


@pytest.mark.parametrize("fault", [no_more_pages, no_larger_files])
def test_a_full_disk_loses_nothing_that_was_acknowledged(sqlite_world: World, fault: Any) -> None:
    """While there is room 201, then only 503; every acknowledged download is stored; with room it goes on."""
    assert sqlite_world.api("POST", "/downloads", json=ORDER).status_code == 201
    acknowledged = ["" for _ in range(1)]
    with fault(sqlite_world) as make_room:
        for _ in range(300):
            answer = sqlite_world.api("POST", "/downloads", json=ORDER)
            if answer.status_code != 201:
                break
            acknowledged.append(answer.json["id"])
        require_unavailable(answer)
        require_soon_unavailable(ask_at_once(sqlite_world, 4))
        stored = {record["download"] for record in sqlite_world.records("download")}
        assert stored.issuperset(acknowledged[1:])
        assert len(stored) == len(acknowledged)
        make_room()
        assert sqlite_world.api("POST", "/downloads", json=ORDER).status_code == 201
    path = str(make_url(sqlite_world.settings.database_url).database)
    assert sqlite3.connect(path).execute("PRAGMA integrity_check").fetchone() == ("ok",)


@contextmanager
def frozen(server: PostgreSQL) -> Iterator[None]:
    """No process of the server runs: connections stay open, the system acknowledges, and nobody answers."""
    leader = server.process.pid
    stopped = [leader]
    os.kill(leader, signal.SIGSTOP)  # first, so that it starts no other
    try:
        for child in _children(leader):
            os.kill(child, signal.SIGSTOP)
            stopped.append(child)
        yield
    finally:
        for process in stopped:
            os.kill(process, signal.SIGCONT)


def _children(parent: int) -> list[int]:
    listed = Path(f"/proc/{parent}/task/{parent}/children").read_text()
    return [int(number) for number in listed.split()]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_frozen_server_is_answered_within_five_seconds(postgresql_world: World, postgres: PostgreSQL) -> None:
    """PostgreSQL keeps its connections and says nothing: only 503, soon, and it works again without a restart.

    What it had received before we gave up it may still do once it is thawed: an entry that nobody got a URL for.
    """
    world = postgresql_world
    assert {answer.status_code for _, answer in ask_at_once(world, 8)} == {201}
    entries, signed = len(world.entries("download")), len(world.signed_urls)
    with frozen(postgres):
        for _ in range(2):  # idle connections first, then none is left and new ones are tried
            answers = ask_at_once(world, 8)
            require_soon_unavailable(answers)
            print(f"frozen: 8 answers of 503 within {max(seconds for seconds, _ in answers):.1f} s")
        assert world.api("GET", "/stages").status_code == 503
        assert world.client.get("/readyz").status_code == 503
        assert world.client.get("/healthz").status_code == 200
    thawed = time.monotonic()
    while world.api("POST", "/downloads", json=ORDER).status_code != 201:
        assert time.monotonic() - thawed < RECOVERY_SECONDS
    print(f"back {time.monotonic() - thawed:.2f} s after it was thawed")
    assert entries + 1 <= len(world.entries("download")) <= entries + 1 + 8
    assert len(world.signed_urls) == signed + signed // 8


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_server_that_freezes_in_the_middle_is_given_up(postgresql_world: World, postgres: PostgreSQL) -> None:
    """The decision was being made when everything stopped: 503 in time, and what came of it has no URL."""
    world, app = postgresql_world, web.create(postgresql_world.use)
    headers = {"Authorization": f"Bearer {world.example.tokens['cleared']}"}
    answers = list[tuple[float, int]]()

    def ask(ending: threading.Event) -> None:
        client = app.test_client()
        while not ending.is_set():
            began = time.monotonic()
            status = client.post("/api/v1/downloads", json=ORDER, headers=headers).status_code
            answers.append((time.monotonic() - began, status))

    for _ in range(TRIES):  # all may have been committed together just before: then none was in the middle
        ending, enough = threading.Event(), len(answers) + 100
        threads = [threading.Thread(target=ask, args=(ending,), daemon=True) for _ in range(8)]
        for thread in threads:
            thread.start()
        while len(answers) < enough:
            threading.Event().wait(0.01)
        with frozen(postgres):
            ending.set()
            for thread in threads:
                thread.join(30)
                assert not thread.is_alive()
        if any(status == 503 for _, status in answers):
            break
    longest = max(seconds for seconds, _ in answers)
    print(f"frozen in the middle: the longest took {longest:.1f} s")
    assert {status for _, status in answers} == {201, 503}
    assert longest < ANSWER_SECONDS


def test_connections_that_were_cut_are_replaced(postgresql_world: World) -> None:
    """A restart of the server costs no request: an idle connection is tried before it is used."""
    world = postgresql_world
    assert world.api("POST", "/downloads", json=ORDER).status_code == 201
    with psycopg.connect(
        world.settings.database_url.replace("postgresql+psycopg", "postgresql"), autocommit=True
    ) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "  # waits until it has ended
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert world.api("POST", "/downloads", json=ORDER).status_code == 201


def test_a_server_that_is_gone_is_answered_at_once(postgresql_world: World, tmp_path: Path) -> None:
    """Nobody listens any more, or whoever does hangs up: 503 at once, and it works again when the server is back."""
    world, there = postgresql_world, threading.Event()
    there.set()
    url = make_url(world.settings.database_url)
    assert url.port is not None
    with Proxy(url.port, lambda _: Verdict.PASS if there.is_set() else Verdict.CUT) as proxy:
        behind = url.set(port=proxy.port).render_as_string(hide_password=False)
        use = WatchedResources(write_settings(world.template, tmp_path / "behind", behind), world.clock)
        client = web.create(use).test_client()
        headers = {"Authorization": f"Bearer {world.example.tokens['cleared']}"}
        statuses = []
        for present in (True, False, True):
            (there.set if present else there.clear)()
            began = time.monotonic()
            statuses.append(client.post("/api/v1/downloads", json=ORDER, headers=headers).status_code)
            assert time.monotonic() - began < 2
        use.close()
    assert statuses == [201, 503, 201]
