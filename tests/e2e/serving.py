"""The real server under gunicorn, for one test's world."""

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from server.storage.embedded import free_port
from server.storage.parent_death import ending_with_parent
from tests.world import World, write_settings

ROOT = Path(__file__).parents[2]
START_SECONDS = 60  # on a machine that is busy with other tests


@dataclass
class Served:
    """A running server."""

    port: int
    process: "subprocess.Popen[bytes]"

    def workers(self) -> list[int]:
        """The processes that answer requests."""
        leader = self.process.pid
        return [int(number) for number in Path(f"/proc/{leader}/task/{leader}/children").read_text().split()]

    def ask(self, method: str, path: str, token: str | None, body: Any = None) -> tuple[int, Any]:
        """Send one request on a connection of its own; return status and JSON. Raises OSError, HTTPException."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            headers = {} if token is None else {"Authorization": f"Bearer {token}"}
            content = None if body is None else orjson.dumps(body)
            connection.request(method, path, content, headers | {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
            is_json = "json" in answer.headers.get("Content-Type", "")
            return answer.status, orjson.loads(text) if is_json else text
        finally:
            connection.close()


@contextmanager
def served(world: World, app: str = "server.wsgi:app", /, **more: Any) -> Iterator[Served]:
    """Start gunicorn on the world's own settings and these, wait until it is ready, and end it.

    app: another answers every address with 200.
    """
    port = free_port()
    more = {"listen": f"127.0.0.1:{port}", "web_workers": 2, "public_url": f"http://localhost:{port}"} | more
    write_settings(world.template, world.folder, world.settings.database_url, **more)
    command = [sys.executable, "-m", "gunicorn", "-c", "config/gunicorn.conf.py", app]
    environment = os.environ | {"WEIGHTGATE_DATA": str(world.folder)}
    with (world.folder / "web.log").open("wb") as messages:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=messages, stderr=messages, start_new_session=True,
            preexec_fn=ending_with_parent(signal.SIGTERM),
        )  # fmt: skip
    try:
        server = Served(port, process)
        _wait_until_ready(server, world.folder / "web.log")
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(START_SECONDS)


def eventually(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether it comes true in so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _wait_until_ready(server: Served, messages: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            if server.ask("GET", "/readyz", None)[0] == 200:
                return
        except OSError:
            pass
        assert server.process.poll() is None, messages.read_text()
        assert time.monotonic() < deadline, messages.read_text()
        time.sleep(0.05)
