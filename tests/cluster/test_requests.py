"""F12 through nginx: smuggled requests, slow clients, and a server that is told to end meanwhile."""

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.cluster import checks
from tests.cluster.cluster import Cluster
from tests.cluster.ledger import Ledger, quantile
from tests.cluster.load_clients import asking, crowd
from tests.cluster.raw_requests import Watch, answers, received, to_machine, to_nginx
from tests.cluster.test_faults import issue, restart_web
from tests.faults.test_database_down import frozen

SLOW_CLIENTS, SLOW_SECONDS = 60, 20  # nginx lets one address have 100 connections
GOOD_CLIENTS = 4
QUIET_SECONDS = 1.5
P99_SECONDS = 1.0
FROZEN_SECONDS = 1.0
# What a server may say to nonsense; 500 and silence are none of it.
CALM = {200, 201, 204, 301, 302, 303, 304, 307, 308, *range(400, 500), 501, 503, 505}
OUTER, HIDDEN = "/api/v1/stages/outer", "/api/v1/stages/hidden"

pytestmark = pytest.mark.fault


@pytest.fixture
def talkative(cluster: Cluster) -> Iterator[Cluster]:
    """The machines write a line for each request that reaches the program."""
    restart_web(cluster, WEIGHTGATE_ACCESS_LINES="true")
    yield cluster
    restart_web(cluster)


def hidden(cluster: Cluster) -> bytes:
    """A whole request with a token, to stand in the body of another one."""
    token = cluster.known["tokens"]["cleared"]
    return f"GET {HIDDEN} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n".encode()


# Ways to say twice, or wrongly, where a body ends. {n}: its length with the hidden request, which begins at byte 5.
FRAMES = {
    "CL.TE": b"Content-Length: {n}\r\nTransfer-Encoding: chunked",
    "TE.CL": b"Transfer-Encoding: chunked\r\nContent-Length: 5",
    "CL.CL": b"Content-Length: 5\r\nContent-Length: {n}",
    "CL, CL in one": b"Content-Length: 5, {n}",
    "CL with a sign": b"Content-Length: +5",
    "CL in hex": b"Content-Length: 0x5",
    "CL with a blank before the colon": b"Content-Length : 5",
    "CL folded": b"Content-Length:\r\n 5",
    "CL after a bare LF": b"X: y\nContent-Length: 5",
    "CL after a bare CR": b"X: y\rContent-Length: 5",
    "CL beside one with an underscore": b"Content_Length: 5\r\nContent-Length: {n}",
    "TE with a blank before the colon": b"Transfer-Encoding : chunked\r\nContent-Length: {n}",
    "TE with a tab": b"Transfer-Encoding:\tchunked",
    "TE with a vertical tab": b"Transfer-Encoding: \x0bchunked\r\nContent-Length: {n}",
    "TE in capitals": b"Transfer-Encoding: CHUNKED\r\nContent-Length: {n}",
    "TE twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\nContent-Length: {n}",
    "TE of two": b"Transfer-Encoding: identity, chunked\r\nContent-Length: {n}",
    "TE unknown": b"Transfer-Encoding: xchunked\r\nContent-Length: {n}",
    "TE in quotes": b'Transfer-Encoding: "chunked"\r\nContent-Length: {n}',
    "TE folded": b"Transfer-Encoding:\r\n chunked\r\nContent-Length: {n}",
    "TE after a bare LF": b"X: y\nTransfer-Encoding: chunked\r\nContent-Length: {n}",
    "TE with a NUL": b"Transfer-Encoding: chunked\x00\r\nContent-Length: {n}",
    "TE in an HTTP/1.0 request": b"Transfer-Encoding: chunked\r\nX-Version: 1.0",
    "neither": b"X: y",
}


def request(cluster: Cluster, name: str, method: bytes) -> bytes:
    """A request without a token, whose body is the end of chunks and then the hidden one."""
    body = b"0\r\n\r\n" + hidden(cluster)
    lines = FRAMES[name].replace(b"{n}", str(len(body)).encode())
    version = b"1.0" if "HTTP/1.0" in name else b"1.1"
    return b"%s %s HTTP/%s\r\nHost: localhost\r\n%s\r\n\r\n%s" % (method, OUTER.encode(), version, lines, body)


class Marked:
    """Good clients, each of whose requests has an address of its own, and the id of the answer to each."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster, self.ids = cluster, dict[str, str]()
        self._ending = threading.Event()
        self.ledger = Ledger()

    def __enter__(self) -> "Marked":
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(GOOD_CLIENTS)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, client: int) -> None:
        asker, number = asking(self._cluster, self.ledger, "cleared"), 0
        while not self._ending.wait(0.1):
            number += 1
            path = f"/api/v1/stages/good-{client}-{number}"
            if (answer := asker.ask("good", "GET", path, (404,))) is not None:
                self.ids[path] = answer.headers["X-Request-Id"]


@pytest.mark.parametrize("method", [b"POST", b"GET"], ids=["POST", "GET"])
def test_nothing_is_smuggled_past_nginx(talkative: Cluster, method: bytes) -> None:
    """F12: the program sees what nginx sees, one for one, and each answer goes to whoever asked.

    Where nginx itself takes the rest for a second request of the same client, it is one, and is answered: nginx ends
    lines at a bare LF. What must not be is a request that nginx never saw, or somebody else's answer.
    """
    told, watch = dict[str, list[tuple[int, str | None]]](), Watch(talkative)
    with Marked(talkative) as good:  # on the connections that nginx keeps to the machines
        for name in FRAMES:
            with to_nginx(talkative) as connection:
                connection.sendall(request(talkative, name, method))
                told[name] = answers(received(connection, QUIET_SECONDS))
    seen = watch.seen()
    print({name: [status for status, _ in each] for name, each in told.items()})
    assert good.ledger.faults == []
    assert len(good.ids) > len(FRAMES)
    assert sorted(seen.by_nginx) == sorted(seen.by_machines)
    paths = {number: line["path"] for number, line in seen.by_machines.items()}
    assert {path: paths[number] for path, number in good.ids.items()} == {path: path for path in good.ids}
    for name, each in told.items():
        assert each != [], name
        assert {status for status, _ in each} <= CALM, name
        assert {paths[number] for _, number in each if number is not None} <= {OUTER, HIDDEN}, name
    # Every request for the hidden address was answered to the one who sent it, and to nobody else.
    theirs = {number for each in told.values() for _, number in each if number is not None}
    assert {number for number, path in paths.items() if path in {OUTER, HIDDEN}} == theirs


def test_nothing_is_smuggled_past_gunicorn(talkative: Cluster) -> None:
    """F12: without nginx, a body whose end is in doubt ends the connection, and nothing after it is read."""
    told, watch = dict[str, list[int]](), Watch(talkative)
    for name in FRAMES:
        with to_machine(talkative) as connection:
            connection.sendall(request(talkative, name, b"POST"))
            told[name] = [status for status, _ in answers(received(connection, QUIET_SECONDS))]
    print(told)
    assert {status for each in told.values() for status in each} <= CALM
    # A tab is a blank, so there the body's end is not in doubt; and without a body, the next request begins with it.
    assert {name for name, each in told.items() if len(each) > 1} == {"TE with a tab", "neither"}
    reached = [line["path"] for line in watch.seen().by_machines.values()]
    assert reached.count(HIDDEN) == told["TE with a tab"].count(404) - 1 == 1


def test_slow_clients_keep_nobody_waiting(cluster: Cluster) -> None:
    """F12: sixty clients that send a byte now and then, or half a head and nothing more; others are served."""
    ledger = Ledger()
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(to_nginx(cluster)) for _ in range(SLOW_CLIENTS)]
        for connection in slow:
            connection.sendall(b"POST /api/v1/downloads HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900\r\n")
        for connection in slow[::2]:
            connection.sendall(b"\r\n{")
        ending = time.monotonic() + SLOW_SECONDS
        with crowd(cluster, ledger, GOOD_CLIENTS, 4):
            while time.monotonic() < ending:
                for connection in slow[::2]:
                    with contextlib.suppress(OSError):  # nginx has given it up
                        connection.sendall(b" ")
                time.sleep(1)
    taken = [one for kind in ledger.seconds.values() for one in kind]
    print(f"{len(taken)} answers beside {SLOW_CLIENTS} slow clients, p99 {quantile(taken, 0.99) * 1000:.0f} ms")
    assert {status for _, status in ledger.statuses} == {201}
    assert len(taken) > GOOD_CLIENTS * SLOW_SECONDS
    assert quantile(taken, 0.99) < P99_SECONDS
    assert ledger.faults == []


def test_a_server_that_is_told_to_end_cuts_no_answer_off(cluster: Cluster) -> None:
    """F12: SIGTERM in mid-request, of each machine in turn: what was begun is answered, what comes later gets 503."""
    ledger, begun = Ledger(), Counter[str]()
    with crowd(cluster, ledger, GOOD_CLIENTS, 4), ThreadPoolExecutor(GOOD_CLIENTS) as threads:
        for machine in cluster.machines:
            with frozen(cluster.postgres):  # so that requests are surely in the middle
                waiting = [threads.submit(issue, cluster) for _ in range(GOOD_CLIENTS)]
                time.sleep(FROZEN_SECONDS)
                assert not any(one.done() for one in waiting)
                machine.processes["web"].terminate()
                time.sleep(FROZEN_SECONDS)
            for answer in (one.result() for one in waiting):
                by = "program" if "X-Request-Id" in answer.headers else "nginx"
                begun[f"{answer.status_code} by {by}"] += 1
            machine.stop("web")
            time.sleep(1)
            machine.start("web")
            cluster.wait_until_ready()
    print(f"begun before: {dict(begun)}, all: {dict(ledger.statuses)}")
    # On a slow machine the database may have been away for too long: then the program itself says so.
    assert {"201 by program"} <= begun.keys() <= {"201 by program", "503 by program"}
    assert checks.settle(cluster, ledger, 50) > 0  # an answer that was cut off is a fault: nothing was killed
    assert ledger.faults == []
