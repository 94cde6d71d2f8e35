"""A gunicorn worker whose threads never wait for a client: they get requests of which all has arrived.

gunicorn's own threaded worker reads a request in one of its few threads, however long that takes: as many clients that
send half a header as there are threads stop it. nginx in front would wait for them; `serve` and the demo have none. So
the worker's event loop waits, for thousands at once, and each request has a deadline. What a thread still has to read
itself, a chunked body, has the same one.
"""

import contextlib
import io
import re
import time
from collections.abc import Callable
from functools import partial
from selectors import EVENT_READ
from typing import Any

from gunicorn.http import errors
from gunicorn.http.errors import NoMoreData, ParseException
from gunicorn.http.unreader import SocketUnreader
from gunicorn.workers.gthread import ThreadWorker

from server.web.connection_counts import ConnectionCounts
from server.web.requests import BODY_BYTES_AT_MOST

ANSWER_SECONDS = 30  # for each part of an answer, until the client has taken it
HEAD_BYTES_AT_MOST = 64 << 10
RECEIVED_AT_ONCE_BYTES = 64 << 10
WAITS, WAIT_SECONDS = 10, 0.0002  # for others to take a connection; one that hangs never does
_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,16})[ \t]*\r\n", re.IGNORECASE)
_EXPECT = re.compile(rb"\r\nexpect:", re.IGNORECASE)
_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
)  # fmt: skip


class TooSlow(NoMoreData, TimeoutError):  # type: ignore[misc]  # gunicorn has no types
    """The deadline has passed. To gunicorn the client has gone away."""


class TimedUnreader(SocketUnreader):  # type: ignore[misc]
    """Reads from the client until a deadline."""

    deadline = 0.0

    def chunk(self, size_hint: int | None = None) -> bytes:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TooSlow
        self.sock.settimeout(left)
        try:
            received: bytes = super().chunk(size_hint)
        except TimeoutError:
            raise TooSlow from None
        finally:
            self.sock.settimeout(ANSWER_SECONDS)
        return received


class CheckedReader:
    """A body's reader whose faults are those of a client that went away, which Werkzeug answers with 400."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read

    def read(self, size: int) -> bytes:
        try:
            return self._read(size)
        except ParseException as error:
            raise OSError(type(error).__name__) from None


class PatientWorker(ThreadWorker):  # type: ignore[misc]
    """The threaded worker, with the waiting done outside of the threads."""

    request_seconds = 20.0  # from the first look at a request until all of it must be there
    counts = ConnectionCounts()  # gunicorn imports this class before it forks
    slot: int | None = None  # of those counts; gunicorn.conf.py gives each process one
    _waited = 0  # times for the next connection

    def accept(self, listener: Any) -> None:
        """Take a connection, unless a process with fewer may; when there are as many as allowed, the one that has kept
        us waiting longest goes."""
        if self._leaves_it_to_others():
            return
        super().accept(listener)
        if self.nr_conns >= self.worker_connections and self.pending_conns:
            self._drop(self._no_longer_waiting(self.pending_conns[0]))
        self._tell_count()

    def set_accept_enabled(self, enabled: bool) -> None:
        super().set_accept_enabled(enabled)
        self._tell_count()

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        super().wait_for_and_dispatch_events(timeout)
        self._tell_count()

    def enqueue_req(self, conn: Any) -> None:
        """Hand a connection to a thread once its next request is there: a new one, a kept one, or bytes left over."""
        conn.init()
        if not isinstance(conn.parser.unreader, TimedUnreader):
            conn.parser.unreader = TimedUnreader(conn.sock)
        conn.timeout = conn.parser.unreader.deadline = time.monotonic() + self.request_seconds
        conn.sock.setblocking(False)
        if _has_arrived(conn):
            self._hand_on(conn)
        else:
            self.pending_conns.append(conn)
            self.poller.register(conn.sock, EVENT_READ, partial(self.on_pending_socket_readable, conn))

    def on_pending_socket_readable(self, conn: Any, client: Any) -> None:  # noqa: ARG002  # the same socket
        if _has_arrived(conn):
            self._hand_on(self._no_longer_waiting(conn))

    def handle_request(self, req: Any, conn: Any) -> Any:
        req.body.reader = CheckedReader(req.body.reader.read)
        conn.sock.settimeout(ANSWER_SECONDS)
        try:
            return super().handle_request(req, conn)
        except TimeoutError:
            raise TooSlow from None

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        """Answer a request that cannot be read without its words, and log none: a damaged token is not redacted."""
        super().handle_error(req, client, addr, _without_quotes(exc))

    def _tell_count(self) -> None:
        if self.slot is None:
            return
        if self._accepting:
            self.counts.has(self.slot, self.nr_conns)
        else:
            self.counts.takes_none(self.slot)

    def _leaves_it_to_others(self) -> bool:
        """Whether not to take the connection that waits: the event loop offers it again until somebody has it."""
        leaves = self.slot is not None and self._waited < WAITS and self.counts.others_are_behind(self.slot)
        self._waited = self._waited + 1 if leaves else 0
        if leaves:
            time.sleep(WAIT_SECONDS)
        return leaves

    def _no_longer_waiting(self, conn: Any) -> Any:
        self.poller.unregister(conn.sock)
        self.pending_conns.remove(conn)
        return conn

    def _hand_on(self, conn: Any) -> None:
        if not _is_too_large(conn):
            super().enqueue_req(conn)
            return
        with contextlib.suppress(OSError):
            conn.sock.send(_TOO_LARGE)
        self._drop(conn)

    def _drop(self, conn: Any) -> None:
        self.nr_conns -= 1
        conn.close()


def _without_quotes(error: Exception) -> Exception:
    """The same fault of a client's request, which gunicorn treats by its class, with the class's name as its text."""
    kind = type(error)
    if kind.__module__ != errors.__name__:
        return error
    quiet: type[Exception] = type(
        kind.__name__, (kind,), {"__str__": lambda _: f"{kind.__name__}: the request cannot be read"}
    )
    return Exception.__new__(quiet)


def _has_arrived(conn: Any) -> bool:
    """Take what is there; whether there is nothing more to wait for, since all is there, too much, or the end."""
    buffer = conn.parser.unreader.buf
    while not is_whole(buffer.getvalue()) and not _is_too_large(conn):
        try:
            received = conn.sock.recv(RECEIVED_AT_ONCE_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            return True  # a thread finds the same, and closes it
        if not received:
            return True
        buffer.seek(0, io.SEEK_END)
        buffer.write(received)
    return True


def _is_too_large(conn: Any) -> bool:
    head, end, _ = conn.parser.unreader.buf.getvalue().partition(_END_OF_HEAD)
    return not end and len(head) > HEAD_BYTES_AT_MOST


def is_whole(received: bytes) -> bool:
    """Whether a thread can read these bytes' request without waiting, as far as its head tells.

    A body is waited for unless it is chunked, too long to be taken, or sent only once we have answered.
    """
    end = received.find(_END_OF_HEAD)
    if end < 0:
        return False
    length = _LENGTH.search(received, 0, end + 2)
    if length is None or int(length[1]) > BODY_BYTES_AT_MOST or _EXPECT.search(received, 0, end):
        return True
    return len(received) >= end + len(_END_OF_HEAD) + int(length[1])
