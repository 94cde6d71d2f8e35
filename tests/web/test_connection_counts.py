"""Connections are shared evenly among the web processes, and one that hangs or has ended keeps none waiting."""

import contextlib
import os
import selectors
import signal
import socket
import sys
from collections.abc import Iterator
from http.client import HTTPConnection

import psutil
import pytest
from gunicorn.config import Config

from server.web.connection_counts import ConnectionCounts
from server.web.patient_worker import PatientWorker
from tests.e2e.serving import Served, eventually, served
from tests.world import World

HALF = 10  # connections; idle ones are closed after 5 s
MISSED = 2  # of HALF: those that a process was too late for, on a machine that is busy with other tests


def test_others_are_behind_only_while_they_take_more() -> None:
    counts = ConnectionCounts(3)
    counts.has(0, 2)
    assert not counts.others_are_behind(0)  # it is alone
    counts.has(2, 1)
    assert not counts.others_are_behind(0)
    counts.has(2, 0)
    assert counts.others_are_behind(0)
    assert not counts.others_are_behind(2)
    counts.takes_none(2)
    assert not counts.others_are_behind(0)


@pytest.mark.parametrize(
    ("taken", "slot"),
    [([], 0), ([0], 1), ([1], 0), ([2, 0], 1), ([None, 0], 1), ([0, 1, 2], None)],
)
def test_a_new_process_has_the_first_slot_that_nobody_has(taken: list[int | None], slot: int | None) -> None:
    assert ConnectionCounts(3).take_slot(taken) == slot


def test_whose_slot_is_taken_counts_no_more() -> None:
    """It was killed, and said nothing."""
    counts = ConnectionCounts(2)
    counts.has(0, 2)
    counts.has(1, 0)
    assert counts.take_slot([0]) == 1
    assert not counts.others_are_behind(0)


def test_a_worker_counts_while_it_takes_connections() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, selectors.DefaultSelector() as poller:
        worker = PatientWorker(1, os.getpid(), [listener], None, 30, Config(), None)
        worker.poller, worker.counts, worker.slot = poller, ConnectionCounts(2), 0
        worker.counts.has(1, 2)
        with contextlib.closing(worker.tmp):
            for enabled in (True, False, True):
                worker.set_accept_enabled(enabled)
                assert worker.counts.others_are_behind(1) is enabled


class Clients:
    """Connections that stay open, each with a request that was answered."""

    def __init__(self, web: Served, stack: contextlib.ExitStack) -> None:
        self.web = web
        self.stack = stack
        self.open: list[HTTPConnection] = []

    def connect(self, number: int) -> None:
        for _ in range(number):
            connection = HTTPConnection("127.0.0.1", self.web.port, timeout=15)
            self.stack.callback(connection.close)
            self.open.append(connection)
            connection.request("GET", "/healthz")
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200

    def close(self) -> None:
        while self.open:
            self.open.pop().close()
        assert eventually(lambda: not any(self.held().values()), 20)

    def held(self) -> dict[int, int]:
        """The connections that each process has."""
        return {worker: self._held_by(worker) for worker in self.web.workers()}

    def _held_by(self, worker: int) -> int:
        of_process = psutil.Process(worker).net_connections("tcp")
        return sum(one.status == psutil.CONN_ESTABLISHED and one.laddr.port == self.web.port for one in of_process)

    def until_two_take(self) -> None:
        """A process is there long before it takes its first connection."""

        def two_do() -> bool:
            self.connect(1)
            return sorted(map(bool, self.held().values())) == [True, True]

        assert eventually(two_do, 30)
        self.close()


@pytest.fixture
def clients(sqlite_world: World) -> Iterator[Clients]:
    with served(sqlite_world, logger_level="warning") as web, contextlib.ExitStack() as stack:
        clients = Clients(web, stack)
        clients.until_two_take()
        yield clients


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_process_with_fewer_takes_the_next(clients: Clients) -> None:
    """While one stands still the other answers everybody; then it catches up."""
    quick, slow = clients.web.workers()
    os.kill(slow, signal.SIGSTOP)
    try:
        clients.connect(HALF)
        assert clients.held() == {quick: HALF, slow: 0}
    finally:
        os.kill(slow, signal.SIGCONT)
    clients.connect(HALF)
    held = clients.held()
    assert held[slow] >= HALF - MISSED
    assert held[quick] + held[slow] == 2 * HALF


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_one_that_has_ended_is_waited_for_no_more(clients: Clients, how: signal.Signals) -> None:
    """The one that takes its place gets its share."""
    kept, ended = clients.web.workers()
    clients.connect(HALF)
    os.kill(ended, how)
    assert eventually(lambda: len(clients.web.workers()) == 2 and ended not in clients.web.workers(), 20)
    clients.close()
    clients.until_two_take()
    clients.connect(2 * HALF)
    held = clients.held()
    assert kept in held
    assert min(held.values()) >= HALF - MISSED
