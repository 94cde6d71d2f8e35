"""A real Redis for the tests, in which several web processes count together."""

import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from server.storage.embedded import free_port
from server.storage.parent_death import ending_with_parent
from tests.parts import REDIS, missing

START_SECONDS = 10


class RedisServer:
    """One server on loopback; it can be ended and started again on the same port. It keeps nothing."""

    def __init__(self, program: str, folder: Path, port: int | None = None) -> None:
        self._program, self._folder = program, folder
        self.port = free_port() if port is None else port
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [self._program, "--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(
            command, cwd=self._folder, stdout=subprocess.DEVNULL, preexec_fn=ending_with_parent(signal.SIGKILL)
        )
        deadline = time.monotonic() + START_SECONDS
        with redis.Redis.from_url(self.url) as client:
            while True:
                try:
                    client.ping()
                except redis.ConnectionError:
                    if self._process.poll() is not None or time.monotonic() > deadline:
                        raise
                    time.sleep(0.02)
                else:
                    return

    def end(self) -> None:
        self._process.terminate()
        self._process.wait(START_SECONDS)


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    if REDIS is None:
        missing("redis-server")
    with tempfile.TemporaryDirectory(prefix="wg-redis-") as folder:
        server = RedisServer(REDIS, Path(folder))
        yield server
        server.end()
