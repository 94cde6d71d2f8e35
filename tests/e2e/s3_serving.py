"""The served S3 door of a test's world: the real server, and an nginx of its own in front of the test's store."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from server.domain.identity import s3_keys
from server.storage import embedded_config
from server.storage.embedded import EmbeddedStore, _nginx, free_port, is_free
from server.storage.embedded_s3_door import S3Door
from server.storage.parent_death import ending_with_parent
from tests import s3
from tests.e2e.serving import Served, served
from tests.e2e.working import working
from tests.world import World, copied_world

START_SECONDS = 30


@dataclass
class ServedDoor:
    """A running door."""

    world: World
    web: Served
    port: int
    folder: Path
    nginx: "subprocess.Popen[bytes]" = field(repr=False)

    @property
    def endpoint(self) -> str:
        return f"http://localhost:{self.port}"

    @property
    def api(self) -> str:
        return f"http://localhost:{self.web.port}"

    def token(self, name: str = "cleared") -> str:
        return self.world.example.tokens[name]

    def source(self, path: str, stage: str = "mini-gpt/base") -> bytes:
        return (Path(self.world.example.sources[stage]) / path).read_bytes()

    def client(self, name: str = "cleared", stage: str = "mini-gpt/base") -> Any:
        """boto3 with new keys, which it does not fetch by itself."""
        made = s3.key_of(self.world, name, stage)
        return boto3.client(
            "s3", endpoint_url=self.endpoint, region_name="us-east-1", aws_access_key_id=made.key.access_key_id,
            aws_secret_access_key=made.secret, aws_session_token=s3_keys.SESSION_TOKEN,
            config=Config(retries={"total_max_attempts": 1}, connect_timeout=10, read_timeout=30),
        )  # fmt: skip

    def lines(self, *, damaged: bool = False) -> list[dict[str, Any]]:
        """What the store's proxy wrote of files that were read. damaged: a kill may have cut a line."""
        time.sleep(0.05)
        path = self.folder / "logs" / "access.log"
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        return [json.loads(line) for line in lines if not damaged or (line.startswith("{") and line.endswith("}"))]

    def logs(self) -> list[Path]:
        return [*(self.folder / "logs").iterdir(), self.world.folder / "web.log"]

    def kill_web(self) -> None:
        os.killpg(self.web.process.pid, signal.SIGKILL)
        self.web.process.wait()

    def start_nginx(self) -> None:
        (self.folder / "run" / "nginx.pid").unlink(missing_ok=True)
        self.nginx = _started(self.folder)
        _wait(self.port)

    def kill_nginx(self) -> None:
        """Master and worker: the worker would keep the port."""
        os.killpg(self.nginx.pid, signal.SIGKILL)
        self.nginx.wait()


@contextlib.contextmanager
def serving(
    world: World, store: EmbeddedStore, folder: Path, *, behind_proxy: bool = False, **more: Any
) -> Iterator[ServedDoor]:
    """Serve the world's web and its S3 door; the store is the one that all tests share."""
    port, inner = free_port(), free_port()
    for name in ("conf", "logs", "run"):
        (folder / name).mkdir(parents=True, exist_ok=True, mode=0o700)
    s3.open_door(world, s3_door_url=f"http://localhost:{port}", s3_door_port=port)
    opened = {
        "s3_door": "proxy",
        "s3_door_url": f"http://localhost:{port}",
        "s3_door_port": port,
        "embedded_store": True,
    }
    with served(world, **opened, **more) as web:
        secret, host = s3_keys.door_secret(world.use), f"127.0.0.1:{_port_of(store)}"
        made = S3Door(port, f"127.0.0.1:{web.port}", host, behind_proxy, secret)
        conf = embedded_config.nginx_conf(inner, store.ports["s3"], store.anchor_bucket, store.bucket, made)
        (folder / "conf" / "nginx.conf").write_text(conf, encoding="utf-8")
        nginx = _started(folder)
        door = ServedDoor(world, web, port, folder, nginx)
        try:
            _wait(port)
            yield door
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(door.nginx.pid, signal.SIGKILL)
            door.nginx.wait()


def shared(request: pytest.FixtureRequest, folder: Path, store: EmbeddedStore) -> Iterator[ServedDoor]:
    """The same for all tests of a module, on a world of its own."""
    with contextlib.contextmanager(copied_world)(request, folder, "sqlite") as world:
        (folder / "door").mkdir()
        with serving(world, store, folder / "door") as door, working(world):  # unsealed, the log would close
            yield door


def _port_of(store: EmbeddedStore) -> int:
    return int(store.endpoint_url.rpartition(":")[2])


def _started(folder: Path) -> "subprocess.Popen[bytes]":
    command = [str(_nginx()), "-p", f"{folder}/", "-e", "logs/nginx.log", "-c", "conf/nginx.conf"]
    return subprocess.Popen(
        command, cwd=folder, env={"PATH": os.defpath}, stdin=subprocess.DEVNULL, stdout=sys.stderr, stderr=sys.stderr,
        start_new_session=True, preexec_fn=ending_with_parent(signal.SIGTERM),
    )  # fmt: skip


def _wait(port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while is_free(port):
        assert time.monotonic() < deadline
        time.sleep(0.02)
