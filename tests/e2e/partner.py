"""A partner with the real client, at a real server on a world of a test, whose store has a front that can misbehave."""

import hashlib
import os
import shutil
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from weightgate import Client
from weightgate.download.downloading import Downloaded
from werkzeug.serving import ThreadedWSGIServer

from server.domain.operation import carrying_out
from server.domain.publish import hashing, publishing
from server.domain.resources import Resources
from tests.e2e.store_front import StoreFront, in_front_of
from tests.world import WatchedResources, World, write_settings

STAGE = "mini-gpt/base"
CHUNK_BYTES = 100_000  # in place of 64 MiB, so that small files have many
BIG = "model-00001-of-00002.safetensors"


class _Server(ThreadedWSGIServer):
    """The app in this process, on a few threads that stay, as gunicorn has them: each keeps its database connection."""

    def __init__(self, world: World) -> None:
        super().__init__("127.0.0.1", 0, world.client.application)
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="web")

    def process_request(self, request: Any, client_address: Any) -> None:
        self._pool.submit(self.process_request_thread, request, client_address)

    def server_close(self) -> None:
        self._pool.shutdown()
        super().server_close()


class Partner:
    """One machine of a partner: a folder for downloads, and the client's own state."""

    def __init__(self, world: World, front: StoreFront, endpoint: str, folder: Path, publisher: Resources) -> None:
        self.world, self.front, self.endpoint, self.publisher = world, front, endpoint, publisher
        self.folder, self.state = folder / "got", folder / "state"
        self.source = world.template.sources / STAGE

    def environment(self, token: str = "cleared") -> dict[str, str]:
        known = {"WEIGHTGATE_ENDPOINT": self.endpoint, "WEIGHTGATE_STATE": str(self.state)}
        return known | {"WEIGHTGATE_TOKEN": self.world.example.tokens[token]}

    def client(self, token: str = "cleared", patience_seconds: float = 5.0) -> Client:
        return Client(environment=self.environment(token), patience_seconds=patience_seconds)

    def download(self, *paths: str, token: str = "cleared", patience_seconds: float = 5.0, **how: Any) -> Downloaded:
        client = self.client(token, patience_seconds)
        return client.download(how.pop("stage", STAGE), paths, to=how.pop("to", self.folder), **how)

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-c", "from weightgate.cli import main; main()", *arguments]

    def run(self, *arguments: str, more: Mapping[str, str] = {}) -> "subprocess.CompletedProcess[str]":
        """Run the command to its end, in a process of its own."""
        environment = {**os.environ, **self.environment(), **more}
        command = self.command(*arguments)
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    def begin(self, *arguments: str) -> "subprocess.Popen[str]":
        """Begin to download into the folder, in a process that a test can kill."""
        environment = {**os.environ, **self.environment()}
        command = self.command("download", STAGE, "--to", str(self.folder), "--json", *arguments)
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def require_nothing_wrong(self) -> int:
        """Whatever has its final name is what was published; return how many files are there."""
        there = digests(self.folder)
        published = digests(self.source)
        assert {path: published.get(path) for path in there} == there
        return len(there)

    def require_all(self) -> None:
        """The folder is what was published, no more and no less, and the client proves it."""
        assert digests(self.folder) == digests(self.source)
        assert self.client().verify(self.folder).others == []


def digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file by its path, without what the client keeps for itself."""
    files = (path for path in folder.rglob("*") if path.is_file() and ".weightgate" not in path.parts)
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@contextmanager
def partner_of(world: World, folder: Path, host: str = "127.0.0.1") -> Iterator[Partner]:
    """Serve a world in this process, its store behind a front."""
    with in_front_of(str(world.settings.s3_endpoint_url), host) as front:
        known = world.template.settings.model_copy(update={"s3_endpoint_url": front.url})
        world.template = replace(world.template, settings=known)
        world.settings = write_settings(world.template, world.folder, world.settings.database_url)
        publisher, world.use = world.use, WatchedResources(world.settings, world.clock)  # who publishes uses no front
        server = _Server(world)
        serving = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        serving.start()
        try:
            yield Partner(world, front, f"http://127.0.0.1:{server.server_port}", folder, publisher)
        finally:
            server.shutdown()
            serving.join()
            server.server_close()
            publisher.close()


@pytest.fixture
def partner(sqlite_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Partner]:
    """At a server on SQLite, with a checkpoint of many small chunks."""
    with partner_of(sqlite_world, tmp_path) as one:
        publish_in_chunks(one, monkeypatch)
        yield one


def publish_in_chunks(partner: Partner, monkeypatch: pytest.MonkeyPatch, **changed: bytes) -> None:
    """Publish the stage's files again, with some of them changed, hashed in small chunks. It becomes `main`."""
    monkeypatch.setattr(hashing, "hash_files", partial(hashing.hash_files, chunk_bytes=CHUNK_BYTES))
    copy = partner.folder.parent / f"source-{uuid.uuid4().hex}"
    shutil.copytree(partner.source, copy)
    (copy / "notes").mkdir(exist_ok=True)
    (copy / "notes" / "README.md").write_text(f"# {copy.name}\n")  # so no two publish the same
    for name, content in changed.items():
        (copy / name).write_bytes(content)
    world = partner.world
    done = publishing.publish(partner.publisher, world.person("publisher"), copy, STAGE)
    carrying_out.approve(world.use, world.admin2, done.proposal or 0)
    partner.source = copy
