"""Bytes as a request, to nginx or past it, and what came back; and what nginx and the machines say that they saw."""

import contextlib
import re
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from tests.cluster.cluster import Cluster

SECONDS = 10
SETTLED_SECONDS = 5
_HEAD = re.compile(rb"HTTP/1\.[01] (\d{3})[^\r\n]*\r\n((?:[^\r\n]+\r\n)*)\r\n")
_ID = re.compile(rb"(?im)^X-Request-Id: (\S+)\r")


@contextlib.contextmanager
def to_nginx(cluster: Cluster) -> Iterator[socket.socket]:
    """Over TLS, without HTTP/2."""
    trusting = ssl.create_default_context(cafile=str(cluster.front.authorities))
    plain = socket.create_connection(("127.0.0.1", cluster.front.https), timeout=SECONDS)
    with trusting.wrap_socket(plain, server_hostname="localhost") as secured:
        yield secured


@contextlib.contextmanager
def to_machine(cluster: Cluster) -> Iterator[socket.socket]:
    """To gunicorn of the first machine, as only nginx should."""
    with socket.create_connection(("127.0.0.1", cluster.machines[0].port), timeout=SECONDS) as plain:
        yield plain


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

    def _since(self, path: Any) -> str:
        with path.open("rb") as file:
            file.seek(self._from[path])
            return str(file.read(), "utf-8", errors="replace")
