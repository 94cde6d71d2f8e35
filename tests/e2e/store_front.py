"""A front of the real store that a test can make misbehave: it forwards what is asked, and spoils what a test says."""

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

PIECE_BYTES = 16 * 1024
WEB_PAGE = b"<html><body>Please accept our terms to use this network.</body></html>"


class Spoil(Enum):
    """What becomes of one answer."""

    NOTHING = "nothing"
    CUT = "cut"  # half of it arrives, and the connection is lost
    DEAD = "dead"  # nothing arrives at all
    FLIP = "flip"  # one bit of the body is another one
    BUSY = "busy"  # 503
    REFUSE = "refuse"  # 403, as by a store that has been told to
    WEB_PAGE = "web page"  # 200, of whoever runs the network
    OTHER_SIZE = "other size"  # the range is of a file of another size
    WHOLE = "whole"  # 200 with a whole other file, though a range was asked for
    ELSEWHERE = "elsewhere"  # a redirect


Judge = Callable[[str, str], Spoil]  # what was asked for: the target and the range


class StoreFront:
    """Listens on a port of its own; URLs are signed for it. asked: target and range of each GET; put: of each PUT, its
    target and the status that the store answered."""

    def __init__(self, store_url: str, host: str = "127.0.0.1") -> None:
        self.judge: Judge = lambda _target, _range: Spoil.NOTHING
        self.seconds_a_piece = 0.0
        self.judge_put: Judge = lambda _target, _range: Spoil.NOTHING
        self.asked: list[tuple[str, str]] = []
        self.put: list[tuple[str, int]] = []
        self.sent_bytes, self.counting = 0, threading.Lock()
        self.store = urlsplit(store_url).netloc
        self._listener = _Listener(self, host)
        name = f"[{host}]" if ":" in host else host
        self.url = f"http://{name}:{self._listener.server_port}"

    def close(self) -> None:
        self._listener.shutdown()
        self._listener.server_close()


@contextlib.contextmanager
def in_front_of(store_url: str, host: str = "127.0.0.1") -> Iterator[StoreFront]:
    front = StoreFront(store_url, host)
    try:
        yield front
    finally:
        front.close()


class _Listener(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, front: StoreFront, host: str) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, 0), _Handler)
        self.front = front
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    @property
    def front(self) -> StoreFront:
        assert isinstance(self.server, _Listener)
        return self.server.front

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # a client that was killed
            super().handle()

    def do_GET(self) -> None:
        span = self.headers.get("Range", "")
        self.front.asked.append((self.path, span))
        spoil = self.front.judge(self.path, span)
        status, headers, body = self._of_the_store()
        if spoil is Spoil.FLIP:
            middle = len(body) // 2
            body = body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]
        elif spoil is Spoil.OTHER_SIZE:
            headers["Content-Range"] = headers["Content-Range"].rpartition("/")[0] + "/12345678"
        elif spoil is Spoil.WEB_PAGE:
            status, headers, body = 200, {"Content-Type": "text/html; charset=utf-8"}, WEB_PAGE
        elif spoil is Spoil.WHOLE:
            status, headers, body = 200, {"Content-Type": "application/octet-stream"}, b"x" * 12345
        elif spoil in {Spoil.BUSY, Spoil.REFUSE, Spoil.ELSEWHERE}:
            status = {Spoil.BUSY: 503, Spoil.REFUSE: 403, Spoil.ELSEWHERE: 307}[spoil]
            headers, body = {"Location": "http://127.0.0.1:1/"}, b"<Error/>"
        self._send(status, headers, body, spoil)

    def do_PUT(self) -> None:
        """What is cut or dead takes a part of the body, and no answer comes."""
        spoil, length = self.front.judge_put(self.path, ""), int(self.headers.get("Content-Length", 0))
        body = self._read(length // 2 if spoil in {Spoil.CUT, Spoil.DEAD} else length)
        if spoil in {Spoil.CUT, Spoil.DEAD}:
            self.close_connection = True
            return
        if spoil is Spoil.FLIP:
            body = bytes([body[0] ^ 1]) + body[1:]
        if spoil in {Spoil.BUSY, Spoil.REFUSE}:
            status, headers, content = {Spoil.BUSY: 503, Spoil.REFUSE: 403}[spoil], dict[str, str](), b"<Error/>"
        else:
            status, headers, content = self._of_the_store(body)
        self.front.put.append((self.path, status))
        self._send(status, headers, content, Spoil.NOTHING)

    def _pass_on(self) -> None:
        """What the server itself asks of the store."""
        status, headers, body = self._of_the_store(self._read(int(self.headers.get("Content-Length", 0))))
        self._send(status, headers, b"" if self.command == "HEAD" else body, Spoil.NOTHING)

    do_POST = do_DELETE = do_HEAD = _pass_on

    def _read(self, count: int) -> bytes:
        body = bytearray()
        while len(body) < count and (piece := self.rfile.read(min(PIECE_BYTES, count - len(body)))):
            body += piece
            time.sleep(self.front.seconds_a_piece)
        return bytes(body)

    def _of_the_store(self, sent: bytes | None = None) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(self.front.store, timeout=20)
        try:
            connection.request(self.command, self.path, sent, dict(self.headers.items()))
            answer = connection.getresponse()
            told = {
                name: value
                for name, value in answer.headers.items()
                if name.lower().startswith(("content-", "etag", "x-amz-"))
            }
            return answer.status, told, answer.read()
        except OSError:
            return 503, {}, b""  # the store is down
        finally:
            connection.close()

    def _send(self, status: int, headers: dict[str, str], body: bytes, spoil: Spoil) -> None:
        if spoil is not Spoil.DEAD:
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                is_length = name == "Content-Length" and self.command != "HEAD"
                self.send_header(name, str(len(body)) if is_length else value)
            self.end_headers()
            for begin in range(0, len(body) // (2 if spoil is Spoil.CUT else 1), PIECE_BYTES):
                count = self.wfile.write(body[begin : begin + PIECE_BYTES])
                with self.front.counting:
                    self.front.sent_bytes += count
                time.sleep(self.front.seconds_a_piece)
        if spoil in {Spoil.CUT, Spoil.DEAD}:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""
