"""Checkpoints over HTTP: their files, and the signed manifests byte for byte."""

import hashlib
import json
import subprocess

import pytest
from sqlalchemy import select

from server.domain.publish.checkpoints import CheckpointManifest, ManifestForm
from tests.web.problems import require_problem
from tests.world import World

BASE = "/stages/mini-gpt/base/checkpoints"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"


def test_checkpoints_are_listed_newest_first(world: World) -> None:
    """The newest is `main`, and only it."""
    items = world.api("GET", BASE).json["items"]
    assert [set(item) for item in items] == [{"id", "stage", "created_at", "note", "is_main"}] * 2
    assert [item["is_main"] for item in items] == [True, False]
    assert [item["note"] for item in items] == ["Checkpoint 2.", "Checkpoint 1."]
    assert {item["stage"] for item in items} == {"mini-gpt/base"}
    assert world.api("GET", f"{BASE}/main").json["id"] == items[0]["id"]


def test_a_checkpoint_names_its_files(sqlite_world: World) -> None:
    """Each with size and SHA-256; the manifest is not among them."""
    body = sqlite_world.api("GET", f"{BASE}/main").json
    assert set(body) == {"id", "stage", "created_at", "note", "files"}
    source = sqlite_world.template.sources / "mini-gpt/base"
    expected = [
        {
            "path": str(path.relative_to(source)),
            "size_bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in sorted(source.rglob("*"))
        if path.is_file()
    ]
    assert body["files"] == expected
    assert sqlite_world.api("GET", f"{BASE}/{body['id']}").json == body


@pytest.mark.parametrize("which", ["main", "by id", "the older one"])
def test_the_manifest_gives_the_id(sqlite_world: World, which: str) -> None:
    """Its SHA-256 begins with the checkpoint's id, and it is what was signed, byte for byte."""
    newest, older = (item["id"] for item in sqlite_world.api("GET", BASE).json["items"])
    expected = older if which == "the older one" else newest
    answer = sqlite_world.api("GET", f"{BASE}/{'main' if which == 'main' else expected}/manifest")
    assert answer.mimetype == BUNDLE
    assert hashlib.sha256(answer.data).hexdigest()[:40] == expected
    assert answer.data in kept(sqlite_world, ManifestForm.FILES)
    assert "dsseEnvelope" in json.loads(answer.data)


def test_the_chunks_are_another_signed_form(sqlite_world: World) -> None:
    """Beside the manifest, byte for byte as it was signed."""
    answer = sqlite_world.api("GET", f"{BASE}/main/manifest/chunks")
    assert answer.mimetype == BUNDLE
    assert answer.data in kept(sqlite_world, ManifestForm.CHUNKS)
    assert answer.data not in kept(sqlite_world, ManifestForm.FILES)


def test_sha256sums_are_what_sha256sum_checks(sqlite_world: World) -> None:
    """The program accepts the published folder by them, and they come to whoever may have the files alone."""
    answer = sqlite_world.api("GET", f"{BASE}/main/SHA256SUMS")
    assert answer.mimetype == "text/plain"
    folder = sqlite_world.template.sources / "mini-gpt/base"
    done = subprocess.run(["sha256sum", "--check", "--strict"], input=answer.data, cwd=folder, capture_output=True)
    assert (done.returncode, done.stdout.count(b": OK\n")) == (0, len(list(folder.iterdir()))), done.stderr
    require_problem(sqlite_world.api("GET", f"{BASE}/main/SHA256SUMS", "uncleared"), 403, "not_cleared")


def kept(world: World, form: ManifestForm) -> set[bytes]:
    with world.use.database.reading() as session:
        query = select(CheckpointManifest.content).where(CheckpointManifest.form == form)
        return set(session.scalars(query))


def test_an_alias_leads_to_the_stage(sqlite_world: World) -> None:
    """The answer names the stage as it is called now."""
    assert sqlite_world.api("GET", "/stages/gpt-2/762M/checkpoints/main").json["stage"] == "gpt-2/774M"


def test_another_stage_s_checkpoint_is_not_there(sqlite_world: World) -> None:
    """An id works under its own stage only."""
    foreign = sqlite_world.api("GET", "/stages/gpt-2/124M/checkpoints/main").json["id"]
    require_problem(sqlite_world.api("GET", f"{BASE}/{foreign}"), 404, "not_found")
    require_problem(sqlite_world.api("GET", f"{BASE}/{foreign}/manifest"), 404, "not_found")
