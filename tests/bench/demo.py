"""A demo of a bench's own, and checkpoints to publish there."""

import json
import os
import signal
import struct
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from server.storage.embedded import free_port

STAGE = "mini-gpt/base"
START_SECONDS = 180
_BLOCK_BYTES = 1 << 24


@dataclass(frozen=True)
class Demo:
    """A running one. folder: its data."""

    folder: Path
    process: "subprocess.Popen[bytes]"

    @property
    def known(self) -> dict[str, Any]:
        known: dict[str, Any] = json.loads((self.folder / "demo.json").read_text())
        return known

    @property
    def endpoint(self) -> str:
        endpoint: str = self.known["endpoint"]
        return endpoint

    @property
    def token(self) -> str:
        token: str = self.known["tokens"]["cleared"]
        return token

    @property
    def access_log(self) -> Path:
        """The store's: a JSON object for each request."""
        return self.folder / "store" / "logs" / "access.log"

    def store_keys(self) -> tuple[str, str, str]:
        """Endpoint, key and secret of the store, for tools that speak S3 and list: the publisher's, which may."""
        keys = json.loads((self.folder / "store" / "keys" / "publisher-s3.json").read_text())
        return self.known["s3_endpoint"], keys["access_key_id"], keys["secret_access_key"]

    def cpu_seconds(self) -> float:
        """Of server and store, nginx included."""
        tree = [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]
        return sum(sum(one.cpu_times()[:2]) for one in tree)

    def publish(self, folder: Path) -> str:
        """Publish a folder to the open stage, with an admin's approval; return the checkpoint's id."""
        published = self._operate("publisher", "publish", str(folder), STAGE)
        self._operate("admin", "proposal", "approve", str(published["proposal"]))
        return str(published["id"])

    def _operate(self, who: str, *arguments: str) -> dict[str, Any]:
        person = self.known["people"][who]
        command = [sys.executable, "-m", "server", "--data", str(self.folder), *arguments, "--json"]
        environment = os.environ | {"WEIGHTGATE_PASSWORD": person["password"]}
        done = subprocess.run([*command, "--as", person["email"]], env=environment, check=True, capture_output=True)
        said: dict[str, Any] = json.loads(done.stdout)
        return said

    def order(self, checkpoint: str, accept: str) -> bytes:
        """What `POST /downloads` answers for all files of a checkpoint."""
        body = json.dumps({"stage": STAGE, "checkpoint": checkpoint}).encode()
        headers = {"Accept": accept, "Content-Type": "application/json", "Authorization": f"Bearer {self.token}"}
        request = urllib.request.Request(f"{self.endpoint}/api/v1/downloads", body, headers)
        with urllib.request.urlopen(request) as answer:
            content: bytes = answer.read()
        return content


@contextmanager
def running_demo(folder: Path) -> Iterator[Demo]:
    """A demo on free ports with its data in the folder, which does not exist yet."""
    command = [sys.executable, "-m", "server", "--data", str(folder), "demo", "--port", str(free_port())]
    with (folder.parent / "demo.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + START_SECONDS
        while b"is ready" not in (folder.parent / "demo.log").read_bytes():
            assert process.poll() is None, (folder.parent / "demo.log").read_text()
            assert time.monotonic() < deadline, (folder.parent / "demo.log").read_text()
            time.sleep(0.2)
        yield Demo(folder, process)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def write_weights(folder: Path, count: int, size_bytes: int) -> None:
    """So many safetensors of random numbers, no block of them twice, and the config that makes them a checkpoint."""
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    block = os.urandom(_BLOCK_BYTES)
    for number in range(count):
        span = size_bytes // 2 * 2
        tensor = {"dtype": "F16", "shape": [span // 2], "data_offsets": [0, span]}
        head = json.dumps({"weight": tensor}).encode()
        with (folder / f"part-{number:05}.safetensors").open("wb") as file:
            file.write(struct.pack("<Q", len(head)) + head)
            for begin in range(0, span, _BLOCK_BYTES):
                file.write((os.urandom(64) + block[64:])[: span - begin])
