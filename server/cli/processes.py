"""Processes: one parent that starts web, worker, publisher and store, keeps them running, and stops them together."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from server.domain.errors import NotPossible
from server.settings import Settings
from server.storage.embedded import is_free
from server.storage.parent_death import ending_with_parent

logger = structlog.get_logger(__name__)
GUNICORN_CONFIG = Path(__file__).parents[1] / "config" / "gunicorn.conf.py"
STOP_SECONDS = 15
WATCH_SECONDS = 0.5
LEFTOVERS_SECONDS = 5


class Processes:
    """The children of `serve` and `demo`. A worker that dies is started again, and so are publisher and metrics;
    when the web dies, all end."""

    def __init__(self, made: Settings) -> None:
        self._made = made
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._stopping = threading.Event()

    def run(self, alive: Callable[[], bool]) -> int:
        """Start web and worker and watch them until SIGINT or SIGTERM; returns the exit code.

        alive: asked now and then whether what they stand on, the store, is still there.
        """
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self._stopping.set())
        try:
            self._start("web", _web_command(self._made))
            for name in self._restarted:
                self._start(name, _own_command(self._made, name))
            return self._watch(alive)
        finally:
            self._stop()

    def _watch(self, alive: Callable[[], bool]) -> int:
        while not self._stopping.wait(WATCH_SECONDS):
            if self._children["web"].poll() is not None:
                logger.error("the web server exited; stopping", exit_code=self._children["web"].returncode)
                return 1
            if not alive():
                logger.error("the embedded store exited; stopping")
                return 1
            for name in self._restarted:
                if self._children[name].poll() is not None:
                    logger.error(
                        "a process exited; restarting it", process=name, exit_code=self._children[name].returncode
                    )
                    self._stopping.wait(1)
                    self._start(name, _own_command(self._made, name))
        return 0

    @property
    def _restarted(self) -> list[str]:
        wanted = {"worker": True, "publisher": self._made.uploads_key_file, "metrics": self._made.metrics_listen}
        return [name for name, wants in wanted.items() if wants]

    def _start(self, name: str, command: list[str]) -> None:
        environment = {**os.environ, "WEIGHTGATE_DATA": str(self._made.folder)}
        # A session of its own: Ctrl-C reaches only us, and we stop the children in their order.
        self._children[name] = subprocess.Popen(
            command, env=environment, start_new_session=True, preexec_fn=ending_with_parent(signal.SIGTERM)
        )

    def _stop(self) -> None:
        for child in self._children.values():
            child.terminate()
        for name, child in self._children.items():
            try:
                child.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                logger.warning("had to be killed", process=name)
                child.kill()
                child.wait()
            # Its group outlives it: gunicorn's workers would go on answering for a while after a killed master.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)


def require_free(listen: str) -> None:
    """Raise NotPossible when another program has the web server's port: gunicorn would only try again and again."""
    host, _, port = listen.rpartition(":")
    deadline = time.monotonic() + LEFTOVERS_SECONDS
    while not is_free(int(port), host.strip("[]")):
        if time.monotonic() > deadline:  # after a kill -9 of us the system is ending our children right now
            raise NotPossible(
                f"The address {listen} is in use or does not belong to this machine.",
                next_step="Stop the program that listens there (find it with `ss -ltnp`), or choose another port.",
            )
        time.sleep(0.1)


def _web_command(made: Settings) -> list[str]:
    return [sys.executable, "-m", "gunicorn", "-c", str(GUNICORN_CONFIG), "-b", made.listen, "server.wsgi:app"]


def _own_command(made: Settings, name: str) -> list[str]:
    return [sys.executable, "-m", "server", "--data", str(made.folder), name]
