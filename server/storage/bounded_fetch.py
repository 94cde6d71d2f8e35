"""GET and POST with bounds: how long it takes in all, how much is read, and no redirects. For hosts that others run."""

import http.client
import socket
import ssl
import threading
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "weightgate"}


class FetchFailed(Exception):
    """Nothing was fetched. The text completes "…: it failed because", in words of ours."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a host answered, whatever its status. kind: the content type as it was sent, or empty."""

    status: int
    kind: str
    body: bytes


def get(url: str, ca_file: Path | None, *, bytes_at_most: int, seconds: float) -> bytes:
    """Return the body of an answer with status 200. Raises FetchFailed.

    ca_file: certificates to trust in place of the system's. seconds: for everything after the connection stands, by the
    clock and not from byte to byte; connecting itself takes no longer than that again.
    """
    reply = _fetch("GET", url, None, ca_file, {"Accept": "application/json"}, bytes_at_most, seconds)
    if reply.status != 200:
        raise FetchFailed(f"HTTP {reply.status}")
    return reply.body


def post(url: str, body: bytes, ca_file: Path | None, *, bytes_at_most: int, seconds: float) -> Reply:
    """Send bytes and return the answer, whatever its status. Raises FetchFailed. The bounds are those of `get`."""
    headers = {"Content-Type": "application/octet-stream"}
    return _fetch("POST", url, body, ca_file, headers, bytes_at_most, seconds)


def _fetch(
    method: str,
    url: str,
    sent: bytes | None,
    ca_file: Path | None,
    headers: dict[str, str],
    bytes_at_most: int,
    seconds: float,
) -> Reply:
    parts = urlsplit(url)
    was_cut = threading.Event()
    connection = _connection(parts, ca_file, seconds)
    watch: threading.Timer | None = None
    try:
        connection.connect()
        # The socket itself: the connection lets go of it while an answer is read to its end.
        watch = threading.Timer(seconds, _cut, [connection.sock, was_cut])
        watch.daemon = True
        watch.start()
        address = f"{parts.path or '/'}{'?' * bool(parts.query)}{parts.query}"
        connection.request(method, address, body=sent, headers=_HEADERS | headers)
        response = connection.getresponse()
        reply = Reply(response.status, response.headers.get("Content-Type", ""), _body(response, bytes_at_most))
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise FetchFailed("timed out" if was_cut.is_set() else _reason(error)) from None
    finally:
        if watch is not None:
            watch.cancel()
        connection.close()
    if was_cut.is_set():  # what was cut looks like an end
        raise FetchFailed("timed out")
    return reply


def _body(response: http.client.HTTPResponse, bytes_at_most: int) -> bytes:
    if 300 <= response.status < 400:
        raise FetchFailed("it redirects, and redirects are not followed")
    body = response.read(bytes_at_most + 1)
    if len(body) > bytes_at_most:
        raise FetchFailed(f"the answer is larger than {bytes_at_most} bytes")
    if response.length:
        raise FetchFailed("the answer is incomplete")
    return body


def _connection(parts: SplitResult, ca_file: Path | None, seconds: float) -> http.client.HTTPConnection:
    """A connection that is not open yet; over the environment's proxy, as boto3 goes, where it is https."""
    host, port = parts.hostname or "", parts.port
    if parts.scheme == "http":  # only for loopback
        return http.client.HTTPConnection(host, port, timeout=seconds)
    try:
        context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except (OSError, ssl.SSLError):
        raise FetchFailed("its certificates cannot be read: check ca_file") from None
    proxy = None if urllib.request.proxy_bypass(parts.netloc) else urllib.request.getproxies().get("https")
    if proxy is None:
        return http.client.HTTPSConnection(host, port, timeout=seconds, context=context)
    way = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    connection = http.client.HTTPSConnection(way.hostname or "", way.port or 3128, timeout=seconds, context=context)
    connection.set_tunnel(host, port or 443)
    return connection


def _cut(connected: socket.socket, was_cut: threading.Event) -> None:
    """End a connection under whoever reads from it: a server that drips never meets a socket's own timeout."""
    was_cut.set()
    with suppress(OSError):
        socket.socket.shutdown(connected, socket.SHUT_RDWR)  # past TLS, which would wait for the other side


def _reason(error: Exception) -> str:
    """Why, in words of ours: what an exception says may quote what the host sent."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return "its certificate is not trusted"
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    return type(error).__name__
