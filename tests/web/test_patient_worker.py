"""The worker: as many slow clients as there may be leave every thread to the others, and broken bodies are 400."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.storage.embedded import free_port
from server.storage.parent_death import ending_with_parent
from server.web.patient_worker import HEAD_BYTES_AT_MOST, TimedUnreader, TooSlow, is_whole
from tests.e2e.serving import Served, served
from tests.world import World, copied_world

CLIENTS = 40  # more than twice as many as two processes of eight threads have
HALF_A_HEAD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
WHOLE = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
SLOW = {
    "nothing at all": [b""],
    "half a head": [HALF_A_HEAD],
    "half a body": [b"POST /api/v1/downloads HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"],
    "half a head on a kept connection": [WHOLE, HALF_A_HEAD],
    "half a head behind a request": [WHOLE + HALF_A_HEAD],
}


@pytest.fixture(scope="module")
def served_world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[World, Served]]:
    """The real server on gunicorn alone, with no nginx in front."""
    with (
        contextlib.contextmanager(copied_world)(request, tmp_path_factory.mktemp("web"), "sqlite") as world,
        served(world, logger_level="warning") as running,
    ):
        yield world, running


@pytest.fixture
def web(served_world: tuple[World, Served]) -> Served:
    return served_world[1]


@contextlib.contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=15) as connection:
        yield connection


def answer(connection: socket.socket) -> bytes:
    """The answer up to its head's end, or nothing when the connection was closed without one."""
    received = b""
    while b"\r\n\r\n" not in received and (part := connection.recv(4096)):
        received += part
    return received


@pytest.mark.parametrize("kind", SLOW)
def test_slow_clients_keep_nobody_waiting(web: Served, kind: str) -> None:
    """However many they are and whatever they leave out, others are answered at once."""
    with contextlib.ExitStack() as stack:
        for _ in range(CLIENTS):
            connection = stack.enter_context(connected(web.port))
            for part in SLOW[kind]:
                connection.sendall(part)
                if part.startswith(WHOLE):
                    assert answer(connection).startswith(b"HTTP/1.1 200")
        with connected(web.port) as quick:
            quick.settimeout(5)
            quick.sendall(WHOLE)
            assert answer(quick).startswith(b"HTTP/1.1 200")


BROKEN = [
    b"x\r\n", b"-1\r\n{}\r\n", b"2\r\n{}", b"2\r\n{}x\r\n0\r\n\r\n", b"0x2\r\n{}\r\n0\r\n\r\n", b"\r\n\r\n",
    b"2;=\r\n{}\r\n0\r\n\r\n", b" 2\r\n{}\r\n0\r\n\r\n", b"2\n{}\n0\n\n", b"2\r\n{}\r\n0\r\nbad trailer\r\n\r\n",
    b"99\r\n{}",
]  # fmt: skip


@pytest.mark.parametrize("body", BROKEN)
def test_a_broken_chunked_body_is_a_400(served_world: tuple[World, Served], body: bytes) -> None:
    """As a client's fault is, without a traceback; and the connection is not used again."""
    world, web = served_world
    token = world.example.tokens["cleared"]
    with connected(web.port) as connection:
        head = f"POST /api/v1/downloads HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
        head += "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head.encode() + body)
        connection.shutdown(socket.SHUT_WR)
        assert answer(connection).startswith(b"HTTP/1.1 400")
    assert "Traceback" not in (world.folder / "web.log").read_text()


UNREADABLE = [
    "GET /healthz HTTP/1.1\r\nHost: localhost\r\nAuthorization; Bearer {}\r\n\r\n",
    "GET /healthz HTTP/1.1\r\nHost: localhost\r\nBearer {}: x\r\n\r\n",
    "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: y\r\n {}\r\n\r\n",
    "GET /{} HTTP/9\r\n\r\n", "{}\r\n\r\n", "g{t} / HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: {}\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
]  # fmt: skip


@pytest.mark.parametrize("request_text", UNREADABLE)
def test_what_cannot_be_read_is_quoted_nowhere(served_world: tuple[World, Served], request_text: str) -> None:
    """A damaged token is redacted by nothing: it is in neither the answer nor the log, and the fault's name is."""
    world, web = served_world
    damaged = "6wPDYTHvq81MOHhUCnJwgUV4B2Y7z"
    with connected(web.port) as connection:
        connection.sendall(request_text.replace("{t}", damaged).replace("{}", damaged).encode())
        connection.shutdown(socket.SHUT_WR)
        told = b"".join(iter(lambda: connection.recv(4096), b""))
    assert told.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5"))
    assert b"the request cannot be read" in told
    log = (world.folder / "web.log").read_text()
    assert damaged.encode() not in told
    assert damaged not in log
    assert "Invalid request from ip=127.0.0.1" in log


def test_a_head_without_an_end_is_refused(web: Served) -> None:
    """More than any client needs is not kept in memory until the deadline."""
    with connected(web.port) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(HALF_A_HEAD + b"x" * (HEAD_BYTES_AT_MOST + 100_000))
        assert answer(connection).startswith(b"HTTP/1.1 431")


@pytest.fixture
def hasty(tmp_path: Path) -> Iterator[int]:
    """One process that has room for six connections, and little patience; returns its port."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "-k", "tests.web.hasty_worker.HastyWorker", "-b", f"127.0.0.1:{port}"]
    command += ["--threads", "2", "--worker-connections", "6", "tests.web.hasty_worker:app"]
    with (tmp_path / "messages").open("wb") as messages:
        process = subprocess.Popen(
            command, cwd=Path(__file__).parents[2], stdout=messages, stderr=messages,
            preexec_fn=ending_with_parent(signal.SIGTERM),
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError), connected(port) as probe:
                probe.sendall(WHOLE)
                if answer(probe):
                    break
            assert time.monotonic() < deadline, (tmp_path / "messages").read_text()
        yield port
    finally:
        process.terminate()
        process.wait(20)


def test_who_does_not_finish_is_let_go(hasty: int) -> None:
    """At the deadline the connection is closed, whether it sent a part or nothing."""
    for part in (b"", HALF_A_HEAD):
        with connected(hasty) as slow:
            slow.sendall(part)
            assert answer(slow) == b""


def test_when_there_is_no_room_the_longest_waiting_one_goes(hasty: int) -> None:
    """A newcomer is answered, however many wait."""
    with contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(connected(hasty)) for _ in range(8)]
        with connected(hasty) as quick:
            quick.sendall(WHOLE)
            assert answer(quick).startswith(b"HTTP/1.1 200")
        assert waiting[0].recv(1) == b""


def test_a_thread_reads_no_longer_than_the_deadline() -> None:
    """What did not arrive in time is as if the client had gone."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        unreader = TimedUnreader(ours)
        unreader.deadline = time.monotonic() + 0.05
        theirs.send(b"part")
        assert unreader.chunk() == b"part"
        for _ in range(2):
            with pytest.raises(TooSlow):
                unreader.chunk()


@pytest.mark.parametrize(
    ("received", "expected"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n", False),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", True),
        (b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n{", False),
        (b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}", True),
        (b"POST / HTTP/1.1\r\nContent-Length:2 \r\n\r\n{}", True),
        (b"POST / HTTP/1.1\r\nContent-Length: 2000000\r\n\r\n{", True),
        (b"POST / HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n", True),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", True),
        (b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", True),
    ],
)
def test_what_is_whole(received: bytes, expected: bool) -> None:
    """A body is waited for as long as its head says, unless nobody would read it or its sender waits for us."""
    assert is_whole(received) is expected


def test_the_socket_opens_only_once_all_is_imported(served_world: tuple[World, Served]) -> None:
    """gunicorn reads its settings before it binds, and with them comes the code: workers only open what it needs."""
    code = "import sys; from gunicorn.app.wsgiapp import WSGIApplication; WSGIApplication(); print(*sys.modules)"
    command = [sys.executable, "-c", code, "-c", "config/gunicorn.conf.py", "server.wsgi:app"]
    environment = os.environ | {"WEIGHTGATE_DATA": str(served_world[0].folder)}
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], env=environment, capture_output=True, text=True, check=True
    )
    assert {"server.web.app", "sqlalchemy", "boto3"} <= set(done.stdout.split())
    assert "server.wsgi" not in done.stdout.split()
