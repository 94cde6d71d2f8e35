"""The metrics' server: a process and a listener of its own, so that it answers while others are stuck or gone."""

import signal
import socket
import threading
import time
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import click
import orjson
import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from server.cli.processes import require_free
from server.cli.terminal import Instance
from server.domain.errors import NotPossible
from server.domain.operation.health import Health, Look
from server.domain.operation.metrics import InstanceMetrics
from server.domain.resources import Resources
from server.storage import meter_files

logger = structlog.get_logger(__name__)
LOOK_EVERY_SECONDS = 5
CONNECTIONS_AT_MOST = 32
TOO_OLD_SECONDS = 30  # what was seen before that says nothing about now


class Watch:
    """Looks at the instance now and then, and answers from what it saw last: a part that hangs delays no answer."""

    def __init__(self, use: Resources) -> None:
        self._use, self._health = use, Health(use)
        self._last: tuple[float, Look] | None = None
        self._metrics = InstanceMetrics(use.settings.folder / meter_files.FOLDER, use.database.dialect)
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self._metrics)

    def look(self) -> None:
        """Look once. A fault of ours is logged: what is old is left out soon, and that shows."""
        try:
            self._last = time.monotonic(), self._health.look()
        except Exception:
            logger.exception("the instance could not be looked at")

    def go_on(self, stopping: threading.Event) -> None:
        while not stopping.wait(LOOK_EVERY_SECONDS):
            self.look()

    @property
    def last(self) -> Look | None:
        """What was seen within the last half minute."""
        last = self._last
        return last[1] if last is not None and time.monotonic() - last[0] < TOO_OLD_SECONDS else None

    def metrics(self, accept: str) -> tuple[str, bytes]:
        """Return their content type and text, in the form that was asked for."""
        self._metrics.look = self.last
        encode, content_type = choose_encoder(accept)
        return content_type, encode(self._registry)

    def health(self) -> tuple[int, bytes]:
        """Return the HTTP status, 200 only when all is well, and each part as JSON."""
        look = self.last
        if look is None:
            return 503, orjson.dumps({"ok": False, "at": None, "parts": []})
        parts = [
            {
                "part": part.name, "ok": part.ok, "says": part.says, "since": part.since,
                **({"what_to_do": part.what_to_do} if part.what_to_do else {}),
            }
            for part in look.parts
        ]  # fmt: skip
        is_well = all(part.ok for part in look.parts)
        body = {"ok": is_well, "at": look.at, "parts": parts}
        return 200 if is_well else 503, orjson.dumps(body, option=orjson.OPT_UTC_Z | orjson.OPT_INDENT_2)


class Listener(BaseHTTPRequestHandler):
    """Answers two addresses, to whoever reaches them."""

    timeout = 10  # seconds for a request to arrive

    def __init__(self, watch: Watch, *arguments: Any) -> None:
        self._watch = watch
        super().__init__(*arguments)

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/metrics":
            content_type, body = self._watch.metrics(self.headers.get("Accept", ""))
            self._answer(200, content_type, body)
        elif path == "/health":
            status, body = self._watch.health()
            self._answer(status, "application/json", body)
        else:
            self._answer(404, "text/plain", b"Here are /metrics and /health.\n")

    def _answer(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)

    def version_string(self) -> str:
        return "weightgate"

    def log_message(self, *_: Any) -> None:
        """Who reads metrics is not worth a line."""


class _Server(ThreadingHTTPServer):
    """A thread for each connection, up to so many: whoever opens more is not served."""

    daemon_threads = True

    def __init__(self, *arguments: Any) -> None:
        self._free = threading.BoundedSemaphore(CONNECTIONS_AT_MOST)
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, *_: Any) -> None:
        logger.warning("a reader of the metrics was not answered")


@click.command()
@click.pass_obj
def metrics(instance: Instance) -> None:
    """Serve metrics for Prometheus, and the health of each part, until interrupted."""
    use = Resources(instance.settings)  # whatever the database is like: that is for the metrics to say
    listen = use.settings.metrics_listen
    if listen is None:
        raise NotPossible("This instance serves no metrics.", next_step="Set metrics_listen in its settings.")
    require_free(listen)
    use.count_as("metrics")
    use.outside.look()
    use.outside.start()
    watch, stopping = Watch(use), threading.Event()
    watch.look()
    server = listening(watch, listen)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    for work in (server.serve_forever, partial(watch.go_on, stopping)):
        threading.Thread(target=work, daemon=True).start()
    stopping.wait()
    server.shutdown()
    use.close()


def listening(watch: Watch, listen: str) -> ThreadingHTTPServer:
    """Listen at address:port. Raises OSError."""
    host, _, port = listen.rpartition(":")
    kind = type("Server", (_Server,), {"address_family": socket.AF_INET6 if ":" in host else socket.AF_INET})
    server: ThreadingHTTPServer = kind((host.strip("[]"), int(port)), partial(Listener, watch))
    return server


COMMANDS = [metrics]
