"""A publisher with the real client, at a real server on a world of a test; the store's front can misbehave."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from weightgate import Client
from weightgate.upload.uploading import Published

from server.domain.identity import tokens
from server.domain.permissions import Scope
from server.domain.publish import receiving
from server.domain.publish.uploads import Upload
from server.storage.parent_death import ending_with_parent
from tests.domain.publish.test_publishing import write
from tests.e2e.partner import Partner, partner_of
from tests.world import World

PLANNED = "gpt-2/1558M"
OPEN = "gpt-2/774M"
BIG = "model.safetensors"
PARTS = 5  # of all files: three of the big one


class Publisher:
    """One machine of a publisher: a folder to publish, and the client's own state."""

    def __init__(self, at: Partner, folder: Path) -> None:
        self.world, self.front, self.endpoint, self._at = at.world, at.front, at.endpoint, at
        self.direct = at.publisher
        self.folder = write(folder / "source", 34_000_000)

    def environment(self, token: str = "publisher") -> dict[str, str]:
        return self._at.environment(token)

    def token_of(self, person: str) -> str:
        """Another publisher's token."""
        caller = replace(self.world.person(person), via="session", fresh=True)
        return tokens.create(self.world.use, caller, "publishing", [Scope.CHECKPOINTS_PUBLISH], timedelta(days=1)).text

    def publish(
        self, stage: str = PLANNED, *, token: str = "publisher", patience_seconds: float = 5.0, **how: Any
    ) -> Published:
        known = self.environment() | {"WEIGHTGATE_TOKEN": self.world.example.tokens.get(token, token)}
        client = Client(environment=known, patience_seconds=patience_seconds)
        return client.publish(self.folder, stage, **how)

    def begin(self, stage: str = PLANNED, *arguments: str) -> "subprocess.Popen[str]":
        """Begin to publish the folder, in a process that a test can kill."""
        command = [sys.executable, "-c", "from weightgate.cli import main; main()", "publish", str(self.folder), stage]
        environment = {**os.environ, **self.environment()}
        return subprocess.Popen(
            [*command, *arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    @property
    def arrived(self) -> int:
        """How many parts the store has taken, as it said itself."""
        return sum(status == 200 for _, status in self.front.put)

    def upload(self) -> Upload:
        with self.world.use.database.reading() as session:
            return session.query(Upload).one()


@contextmanager
def publishing(lab: "Publisher") -> Iterator[None]:
    """Do what the process that publishes does, until the block ends; it needs no front of the store."""
    stopping = threading.Event()

    def work() -> None:
        while not stopping.is_set():
            if not receiving.publish_next(lab.direct):
                stopping.wait(0.05)

    working = threading.Thread(target=work, daemon=True)
    working.start()
    try:
        yield
    finally:
        stopping.set()
        working.join()


@contextmanager
def working(folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """The real process that publishes, on the world's own settings, until the block ends."""
    command = [sys.executable, "-m", "server", "--data", str(folder), "publisher"]
    with (folder / "publisher.log").open("ab") as messages:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=messages, stderr=messages,
            preexec_fn=ending_with_parent(signal.SIGTERM),
        )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def publisher_of(world: World, folder: Path) -> Iterator[Publisher]:
    with partner_of(world, folder) as at:
        yield Publisher(at, folder)


@pytest.fixture
def lab(sqlite_world: World, tmp_path: Path) -> Iterator[Publisher]:
    """At a server on SQLite."""
    with publisher_of(sqlite_world, tmp_path) as one:
        yield one
