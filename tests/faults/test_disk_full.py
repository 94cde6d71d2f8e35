"""The database's disk runs full under the running server: what is acknowledged is stored, and nothing else is said."""

import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from server.log import published
from tests.e2e.serving import Served, served
from tests.e2e.working import unsealed, working
from tests.faults.test_log_writes import ORDER
from tests.postgres import NOBODY, PostgreSQL
from tests.small_disk import Disk
from tests.templates import Template
from tests.world import DATABASES, World

ASKED_AT_MOST = 3000  # until what was free inside of files is used up
ASKED_WHILE_FULL = 20
RECOVERY_SECONDS = 10


@pytest.fixture(params=DATABASES)
def world(request: pytest.FixtureRequest, tmp_path: Path, disk: Disk) -> Iterator[World]:
    """A copy of the worked example whose database, and nothing else, lies on the small disk."""
    template: Template = request.getfixturevalue(f"{request.param}_template")
    with copied(request, template, disk) as url:
        world = World(template, tmp_path / "instance", url)
        try:
            yield world
            disk.make_room()
            world.check()
        finally:
            world.close()


@contextmanager
def copied(request: pytest.FixtureRequest, template: Template, disk: Disk) -> Iterator[str]:
    if template.kind == "sqlite":
        path = disk.folder / "weightgate.sqlite3"
        path.write_bytes(Path(template.settings.database_url.removeprefix("sqlite:///")).read_bytes())
        yield f"sqlite:///{path}"
        return
    postgres: PostgreSQL = request.getfixturevalue("postgres")
    name = f"small_{uuid.uuid4().hex}"
    place = disk.folder / "tablespace"
    place.mkdir(mode=0o700)
    os.chown(place, NOBODY, NOBODY)
    postgres.run(f"CREATE TABLESPACE {name} LOCATION '{place}'")
    postgres.run(f"CREATE DATABASE {name} TEMPLATE template_world TABLESPACE {name}")
    try:
        yield postgres.url(name)
    finally:
        postgres.drop(name)
        postgres.run("CHECKPOINT")  # what is left of its files goes with it
        postgres.run(f"DROP TABLESPACE {name}")


class Client:
    """Asks for downloads, and keeps the ids of those that were acknowledged."""

    def __init__(self, world: World, server: Served) -> None:
        self._world, self._server = world, server
        self.acknowledged: set[str] = set()

    def ask(self) -> int:
        status, answer = self._server.ask("POST", "/api/v1/downloads", self._world.example.tokens["cleared"], ORDER)
        if status == 201:
            self.acknowledged.add(answer["id"])
        else:
            assert status == 503
            assert "url" not in str(answer)
        return status

    def is_ready(self) -> bool:
        status, _ = self._server.ask("GET", "/readyz", None)
        return bool(status == 200)


def head(world: World) -> tuple[int, str]:
    with world.use.database.reading() as session:
        newest = published.head(session, published.find(session, None))
        return newest.size, newest.note


def stored(world: World) -> set[Any]:
    return {entry.subject for entry in world.entries("download")}


def test_a_full_disk_stops_issuing_and_sealing_and_loses_nothing(world: World, disk: Disk) -> None:
    """201 means stored, then 503 without a URL, and no head is signed; with room both go on by themselves."""
    with served(world) as server:
        client, before = Client(world, server), head(world)
        assert client.ask() == 201
        disk.fill()
        asked = 1
        while client.ask() == 201:
            asked += 1
            assert asked < ASKED_AT_MOST
        assert {client.ask() for _ in range(ASKED_WHILE_FULL)} == {503}
        began = time.monotonic()
        while client.is_ready():  # what was found is kept for a second
            assert time.monotonic() - began < RECOVERY_SECONDS
        with working(world) as (worker,):
            worker.until(lambda: '"job": "seal"' in worker.messages)  # it could not
            assert head(world) == before
            assert unsealed(world) >= len(client.acknowledged)  # a heartbeat may have fitted in
            assert stored(world) == client.acknowledged
            disk.make_room()
            began = time.monotonic()
            while client.ask() != 201:
                assert time.monotonic() - began < RECOVERY_SECONDS
            took = time.monotonic() - began
            while not client.is_ready():
                assert time.monotonic() - began < RECOVERY_SECONDS
            worker.until(lambda: unsealed(world) == 0, RECOVERY_SECONDS)
    assert stored(world) == client.acknowledged
    assert head(world)[0] == len(world.entries()) > before[0]
    print(f"{world.kind}: {len(client.acknowledged)} acknowledged, {len(stored(world))} stored, full after {asked} "
          f"requests, issuing again {took:.2f} s after there was room")  # fmt: skip
