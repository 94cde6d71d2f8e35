"""An older backup is restored: nothing is issued from it, since the anchors know better; the newest one goes on."""

import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest
import requests

from server import settings
from server.domain.audit import sealer
from server.domain.downloads import issuing
from server.domain.resources import Resources
from server.settings import Settings
from server.storage.embedded import EmbeddedStore, free_port
from server.web import app as web
from tests.cli.operator import Operator
from tests.cli.started import Started
from tests.e2e.working import anchor
from tests.faults.test_log_writes import ORDER
from tests.postgres import PostgreSQL, reachable_binaries
from tests.world import WatchedResources, World, copied_world, write_settings

BETWEEN = 3  # downloads after the older backup
REFUSED_SECONDS = 20
SENTENCE = "an older backup was restored"


@dataclass
class Machines:
    """Where backups are restored to: new folders, each with a new database."""

    request: pytest.FixtureRequest
    monkeypatch: pytest.MonkeyPatch
    operator: Operator
    world: World
    folder: Path

    def restore(self, source: Path, code: int) -> Operator:
        if self.world.kind == "postgresql":
            postgres: PostgreSQL = self.request.getfixturevalue("postgres")
            name = f"restored_{uuid.uuid4().hex}"
            self.monkeypatch.setenv("WEIGHTGATE_DATABASE_URL", postgres.create(name))
            self.request.addfinalizer(lambda: postgres.drop(name))
        there = self.operator.elsewhere(self.folder / f"restored-{source.name}")
        there.knows(self.world)
        there("restore", source, code=code)
        return there


@pytest.fixture
def machines(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    embedded_store: EmbeddedStore,
    tmp_path: Path,
) -> Iterator[Machines]:
    """A world with its keys in its own folder, as `init` leaves it, and anchors in a store elsewhere."""
    for world in copied_world(request, tmp_path, request.param):
        own_keys(world, embedded_store)
        if world.kind == "postgresql":
            monkeypatch.setenv("PATH", f"{reachable_binaries(tmp_path)}{os.pathsep}{os.environ['PATH']}")
        operator = Operator(world.folder, monkeypatch, capsys)
        yield Machines(request, monkeypatch, operator, world, tmp_path)
        world.use.take_over_bucket()  # all worlds share it


def own_keys(world: World, store: EmbeddedStore) -> None:
    anchor(world, store)
    files = {name: field for name, field in Settings.model_fields.items() if name.endswith("_file")}
    there = {name: field for name, field in files.items() if (path := getattr(world.settings, name)) and path.exists()}
    places = {name: str(field.default) for name, field in there.items()}
    for name, place in places.items():
        target = world.folder / place
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        shutil.copy(getattr(world.settings, name), target)
    url = "sqlite:///weightgate.sqlite3" if world.kind == "sqlite" else world.settings.database_url
    world.use.close()
    world.settings = write_settings(world.template, world.folder, url, **places)
    world.use = WatchedResources(world.settings, world.clock)


def issue_and_anchor(world: World) -> None:
    for _ in range(BETWEEN):
        issuing.issue(world.use, world.caller("cleared"), world.order())
    world.seal()
    sealer.anchor(world.use)


def require_refused(started: Started) -> None:
    try:
        assert started.process.wait(REFUSED_SECONDS) == 4
        assert SENTENCE in started.err.splitlines()[-1]
    finally:
        started.kill()


def require_silent(world: World, there: Operator) -> None:
    """No URL is issued, not even by a web server that somebody starts by itself."""
    use = Resources(settings.load(there.folder))
    client = web.create(use).test_client()
    headers = {"Authorization": f"Bearer {world.example.tokens['cleared']}"}
    answer = client.post("/api/v1/downloads", json=ORDER, headers=headers)
    assert (answer.status_code, client.get("/readyz").status_code) == (503, 503)
    assert "X-Amz-" not in answer.text
    use.close()


@pytest.mark.parametrize("machines", ["sqlite", pytest.param("postgresql", marks=pytest.mark.fault)], indirect=True)
def test_an_older_backup_issues_nothing_and_the_newest_goes_on(machines: Machines) -> None:
    """Exit code 4 and a sentence from all that would serve it; the exact copy seals, proves and anchors further."""
    world, operator = machines.world, machines.operator
    operator("backup", machines.folder / "older")
    issue_and_anchor(world)
    operator("backup", machines.folder / "newest")

    older = machines.restore(machines.folder / "older", code=4)
    require_silent(world, older)  # before anything else was started
    for command in ("serve", "worker"):
        require_refused(Started(older.folder, command, WEIGHTGATE_LISTEN=f"127.0.0.1:{free_port()}"))
    require_silent(world, older)
    older("hold", "place", "everything", "--reason", "Restored from a backup", by="admin")  # as deploy/README.md says
    older("take-over")

    newest = machines.restore(machines.folder / "newest", code=0)
    newest("take-over")
    port = free_port()
    started = Started(newest.folder, "serve", WEIGHTGATE_LISTEN=f"127.0.0.1:{port}")
    try:
        require_going_on(world, started, f"http://127.0.0.1:{port}")
        assert started.interrupt() == 0
    finally:
        started.kill()
    use = Resources(settings.load(newest.folder))
    sealer.require_anchored(use)
    sealer.anchor(use)
    use.close()


def require_going_on(world: World, started: Started, address: str) -> None:
    """It issues, the file comes, and the entry is sealed and proven."""

    def ready() -> bool:
        try:
            return requests.get(f"{address}/readyz", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    started.until(ready)
    headers = {"Authorization": f"Bearer {world.example.tokens['cleared']}"}
    answer = requests.post(f"{address}/api/v1/downloads", data=orjson.dumps(ORDER), timeout=20,
                           headers=headers | {"Content-Type": "application/json"})  # fmt: skip
    assert answer.status_code == 201
    issued = answer.json()
    for file in issued["files"]:
        assert len(requests.get(file["url"], timeout=20).content) == file["size_bytes"]
    proof = f"{address}/api/v1/downloads/{issued['id']}/proof"
    started.until(lambda: requests.get(proof, headers=headers, timeout=20).status_code == 200)
