"""A TCP proxy that a test can make misbehave: it sees what clients send, and passes, cuts or holds it."""

import contextlib
import socket
import threading
from collections.abc import Callable
from enum import Enum
from types import TracebackType
from typing import Self

CHUNK_BYTES = 1 << 16
HALFWAY_BYTES = 12 << 20


class Verdict(Enum):
    """What becomes of something that a client sent."""

    PASS = "pass"
    CUT = "cut"  # it never arrives, and the connection is lost
    CUT_ANSWER = "cut answer"  # it arrives, and the connection is lost before the client hears of it
    CUT_HALFWAY = "cut halfway"  # it arrives, and the connection is lost after the answer's first HALFWAY_BYTES
    HOLD = "hold"  # it does not arrive before `release`


class Proxy:
    """Listens on a port of 127.0.0.1 and forwards to another one. `judge` is asked about each chunk from a client."""

    def __init__(self, target_port: int, judge: Callable[[bytes], Verdict]) -> None:
        self._target_port = target_port
        self._judge = judge
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.held = threading.Event()  # somebody is being held
        self._released = threading.Event()
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._closing.set()  # before the release: what is still held then never arrives
        self.release()
        # A listener that is only closed keeps its thread in accept.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for one in self._open:
                _close(one)
        for thread in self._threads:
            thread.join(10)

    def release(self) -> None:
        """Let go what is held."""
        self._released.set()

    def _start(self, what: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=what, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target_port))
            except OSError:
                return
            with self._lock:
                self._open += [client, server]
            cutting, halfway = threading.Event(), threading.Event()
            self._start(self._from_client, client, server, cutting, halfway)
            self._start(self._from_server, client, server, cutting, halfway)

    def _from_client(
        self, client: socket.socket, server: socket.socket, cutting: threading.Event, halfway: threading.Event
    ) -> None:
        with contextlib.suppress(OSError):
            while chunk := client.recv(CHUNK_BYTES):
                verdict = self._judge(chunk)
                if verdict is Verdict.CUT:
                    break
                if verdict is Verdict.HOLD:
                    self.held.set()
                    self._released.wait()
                    if self._closing.is_set():
                        break
                if verdict is Verdict.CUT_HALFWAY:
                    halfway.set()
                if verdict is Verdict.CUT_ANSWER:
                    cutting.set()
                    server.sendall(chunk)
                    return  # the other direction closes, after the server has answered
                server.sendall(chunk)
        _close(client)
        _close(server)

    @staticmethod
    def _from_server(
        client: socket.socket, server: socket.socket, cutting: threading.Event, halfway: threading.Event
    ) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while chunk := server.recv(CHUNK_BYTES):
                passed += len(chunk) if halfway.is_set() else 0
                if cutting.is_set() or passed > HALFWAY_BYTES:
                    break
                client.sendall(chunk)
        _close(client)
        _close(server)


def _close(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
