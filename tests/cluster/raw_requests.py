"""Bytes as a request, to nginx or past it, and what came back; and what nginx and the machines say that they saw."""

import contextlib
import functools
import itertools
import re
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from tests.cluster.cluster import Cluster

SECONDS = 10
SETTLED_SECONDS = 5
PIECE = 16
_HEAD = re.compile(rb"HTTP/1\.[01] (\d{3})[^\r\n]*\r\n((?:[^\r\n]+\r\n)*)\r\n")
_ID = re.compile(rb"(?im)^X-Request-Id: (\S+)\r")


@contextlib.contextmanager
def to_nginx(cluster: Cluster, source: str = "127.0.0.1", port: int | None = None) -> Iterator[socket.socket]:
    """Over TLS, without HTTP/2. source: our address, of which nginx lets each ask so often. port: another host's."""
    trusting = _trusting(str(cluster.front.authorities))
    plain = socket.create_connection(("127.0.0.1", port or cluster.front.https), SECONDS, (source, 0))
    with trusting.wrap_socket(plain, server_hostname="localhost") as secured:
        yield secured


@contextlib.contextmanager
def to_machine(cluster: Cluster, source: str = "127.0.0.1") -> Iterator[socket.socket]:
    """To gunicorn of the first machine, as only nginx should."""
    with socket.create_connection(("127.0.0.1", cluster.machines[0].port), SECONDS, (source, 0)) as plain:
        yield plain


def sources(count: int) -> Iterator[str]:
    """Addresses of ours in turn: so many clients, whom the limits of nginx meet one by one as they stand."""
    return itertools.cycle([f"127.0.0.{number}" for number in range(2, 2 + count)])


@functools.cache
def _trusting(authorities: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authorities)


def received(connection: socket.socket, quiet_seconds: float) -> bytes:
    """All that comes until the other side ends, or says nothing for so long."""
    connection.settimeout(quiet_seconds)
    parts = bytearray()
    with contextlib.suppress(OSError):
        while part := connection.recv(65_536):
            parts += part
    return bytes(parts)


def answers(content: bytes) -> list[tuple[int, str | None]]:
    """Status and request id (None: it never reached the program) of each answer."""
    found = []
    for head in _HEAD.finditer(content):
        named = _ID.search(head[2])
        found.append((int(head[1]), named[1].decode() if named else None))
    return found


@dataclass(frozen=True)
class Seen:
    """Requests since a moment. by_nginx: the ids that it had answers for; by_machines: their own access lines."""

    by_nginx: list[str]
    by_machines: dict[str, dict[str, Any]]


class Watch:
    """What is seen from now on. The machines must run with `access_lines`."""

    def __init__(self, cluster: Cluster) -> None:
        self._upstreams = cluster.front.folder / "upstreams.log"
        self._logs = [machine.folder / "web.log" for machine in cluster.machines]
        self._from = {path: path.stat().st_size for path in (self._upstreams, *self._logs)}

    def text(self) -> str:
        """What the machines wrote."""
        return "".join(self._since(path) for path in self._logs)

    def seen(self) -> Seen:
        """nginx writes when an answer has left: it is waited for until both have written of as many."""
        deadline = time.monotonic() + SETTLED_SECONDS
        while True:
            by_nginx = [line.split(" ")[0] for line in self._since(self._upstreams).splitlines()]
            known = [one for one in by_nginx if one != "-"]
            lines = [orjson.loads(line) for line in self.text().splitlines() if line.startswith("{")]
            by_machines = {line["request_id"]: line for line in lines if line.get("event") == "request"}
            if len(known) >= len(by_machines) or time.monotonic() > deadline:
                return Seen(known, by_machines)
            time.sleep(0.1)

    def _since(self, path: Path) -> str:
        return _since(path, self._from[path])


class Written:
    """All that nginx, the machines and PostgreSQL write from now on, wherever they write it."""

    def __init__(self, cluster: Cluster) -> None:
        self._folder = cluster.folder
        self._from = {path: path.stat().st_size for path in self._files()}

    def text(self) -> str:
        return "\n".join(_since(path, self._from.get(path, 0)) for path in self._files())

    def _files(self) -> list[Path]:
        written = [*self._folder.glob("nginx/*.log"), *self._folder.glob("machine-*/**/*.log")]
        return [*written, self._folder / "postgresql" / "messages"]


def pieces(secret: str) -> list[str]:
    """What of a secret must stand nowhere: each part of it that is long enough to be no accident."""
    return [secret[start : start + PIECE] for start in range(0, len(secret) - PIECE + 1, 4)]


def _since(path: Path, start: int) -> str:
    with path.open("rb") as file:
        file.seek(start)
        return str(file.read(), "utf-8", errors="replace")
