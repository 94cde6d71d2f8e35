"""The real worker, as processes of their own, for one test's world; and anchors that only this world has."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from server.storage import keys
from server.storage.embedded import EmbeddedStore
from server.storage.objects import S3Objects
from server.storage.parent_death import ending_with_parent
from tests.world import WatchedResources, World, write_settings

WAIT_SECONDS = 30
END_SECONDS = 10


class Worker:
    """One `weightgate-server worker` on a world's settings. Its messages are told from warnings on."""

    def __init__(self, folder: Path, number: int = 0) -> None:
        self._messages = folder / f"worker-{number}.log"
        command = [sys.executable, "-m", "server", "--data", str(folder), "worker"]
        environment = os.environ | {"WEIGHTGATE_LOGGER_LEVEL": "warning"}
        with self._messages.open("wb") as messages:
            self.process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=messages, stderr=messages,
                preexec_fn=ending_with_parent(signal.SIGTERM),
            )  # fmt: skip

    @property
    def messages(self) -> str:
        return self._messages.read_text(encoding="utf-8")

    def until(self, condition: Callable[[], object], seconds: float = WAIT_SECONDS) -> float:
        """Wait for something to come true while the worker runs; return the seconds that it took."""
        began = time.monotonic()
        while not condition():
            assert self.process.poll() is None, self.messages
            assert time.monotonic() < began + seconds, self.messages
            time.sleep(0.02)
        return time.monotonic() - began

    def wait(self) -> int:
        """Wait for its end; return the exit code."""
        return self.process.wait(WAIT_SECONDS)

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it if it still runs; return the exit code. SIGTERM kills one that is starting, so it waits for that."""
        if how == signal.SIGTERM:
            self.until(lambda: self.process.poll() is not None or self._catches(how))
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def _catches(self, which: signal.Signals) -> bool:
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        (caught,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
        return bool(int(caught, 16) >> which - 1 & 1)


@contextmanager
def working(world: World, count: int = 1) -> Iterator[list[Worker]]:
    """Run so many workers, and end those that a test has not ended."""
    workers = [Worker(world.folder, number) for number in range(count)]
    try:
        yield workers
    finally:
        for worker in workers:
            worker.end(signal.SIGKILL)


def unsealed(world: World) -> int:
    """How many entries wait for the sealer."""
    return sum(entry.leaf_index is None for entry in world.entries())


def anchor(world: World, store: EmbeddedStore) -> None:
    """Give the world a bucket for its anchors that no other world writes to: copies of one log have one origin."""
    bucket = f"anchors-{uuid.uuid4().hex}"
    with anchors_of(store, bucket) as objects:
        objects.ensure_bucket()
    known = {"anchor_bucket": bucket, "anchor_key_file": store.publisher_key_file}
    world.template = replace(world.template, settings=world.template.settings.model_copy(update=known))
    world.settings = write_settings(world.template, world.folder, world.settings.database_url)
    world.use.close()
    world.use = WatchedResources(world.settings, world.clock)


def anchors_of(store: EmbeddedStore, bucket: str) -> S3Objects:
    """The bucket as the store's own administrator sees it."""
    credentials = keys.read_s3_credentials(store.publisher_key_file)
    return S3Objects(
        endpoint_url=store.endpoint_url, region="us-east-1", bucket=bucket, addressing="path", credentials=credentials
    )
