"""The input file for aria2, run by the real aria2c against the real store."""

import re
from pathlib import Path

import pytest

from server.web.api import aria2_input
from tests import aria2
from tests.world import World

HEADERS = {"Accept": aria2_input.MIME_TYPE}
SHARD = "model-00001-of-00002.safetensors"


def issued(world: World, stage: str = "mini-gpt/base", **order: object) -> str:
    answer = world.api("POST", "/downloads", json={"stage": stage} | order, headers=HEADERS)
    assert (answer.status_code, answer.mimetype) == (201, aria2_input.MIME_TYPE)
    assert answer.headers["X-Download-Id"] == world.records("download")[-1]["download"]
    return str(answer.text)


@pytest.mark.parametrize("stage", ["gpt-2/774M", "mini-gpt/base"])
def test_aria2_fetches_what_was_published(sqlite_world: World, tmp_path: Path, stage: str) -> None:
    """Every file arrives under its path, byte for byte, and nothing else."""
    done = aria2.run(issued(sqlite_world, stage), tmp_path / "got", "-i", "-")
    assert done.returncode == 0, done.stderr
    assert aria2.digests(tmp_path / "got") == aria2.digests(sqlite_world.template.sources / stage)


def test_a_second_run_completes_and_corrects(sqlite_world: World, tmp_path: Path) -> None:
    """What was cut is completed, another file of the same size is fetched again, nothing is saved beside."""
    folder, source = tmp_path / "got", sqlite_world.template.sources / "mini-gpt/base"
    aria2.run(issued(sqlite_world), folder, "-i", "-")
    (folder / SHARD).write_bytes((source / SHARD).read_bytes()[:100_000])
    (folder / "config.json").write_bytes(bytes((source / "config.json").stat().st_size))
    done = aria2.run(issued(sqlite_world), folder, "-i", "-")
    assert done.returncode == 0, done.stderr
    assert aria2.digests(folder) == aria2.digests(source)


def test_a_spoiled_url_saves_no_weights(sqlite_world: World, tmp_path: Path) -> None:
    """The store's error page is not kept, and aria2 says that it failed."""
    text = re.sub("X-Amz-Signature=[0-9a-f]{8}", "X-Amz-Signature=00000000", issued(sqlite_world, paths=[SHARD]))
    done = aria2.run(text, tmp_path / "got", "-i", "-")
    assert done.returncode != 0
    assert aria2.digests(tmp_path / "got") == {}


def test_a_refusal_is_no_input_file(sqlite_world: World, tmp_path: Path) -> None:
    """Piped into aria2, the problem fetches nothing and fails."""
    answer = sqlite_world.api("POST", "/downloads", "uncleared", json={"stage": "gpt-2/774M"}, headers=HEADERS)
    aria2.run(answer.text, tmp_path / "got", "-i", "-")
    assert aria2.digests(tmp_path / "got") == {}
