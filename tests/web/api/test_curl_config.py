"""The curl config, run by the real curl against the real store."""

import hashlib
import subprocess
from pathlib import Path

import pytest

from server.web.api.curl_config import render
from tests.web.problems import require_problem
from tests.world import World

HEADERS = {"Accept": "text/x-curl-config"}


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def config(world: World, **order: object) -> str:
    answer = world.api("POST", "/downloads", json=order, headers=HEADERS)
    assert answer.status_code == 201
    assert answer.mimetype == "text/x-curl-config"
    (record,) = world.records("download")
    assert answer.headers["X-Download-Id"] == record["download"]
    return str(answer.text)


def run(text: str, folder: Path) -> "subprocess.CompletedProcess[bytes]":
    folder.mkdir()
    command = ["curl", "-q", "--silent", "-K", "-"]
    return subprocess.run(command, input=text.encode(), cwd=folder, capture_output=True, timeout=30, check=False)


@pytest.mark.parametrize("stage", ["gpt-2/774M", "mini-gpt/base"])
def test_curl_fetches_what_was_published(sqlite_world: World, tmp_path: Path, stage: str) -> None:
    """Every file arrives under its path, byte for byte, and nothing else."""
    done = run(config(sqlite_world, stage=stage), tmp_path / "got")
    assert done.returncode == 0, done.stderr
    assert digests(tmp_path / "got") == digests(sqlite_world.template.sources / stage)


@pytest.mark.parametrize("which", ["X-Amz-Signature=", "x-download-id=", "hparams"])
def test_a_spoiled_url_leaves_no_file(sqlite_world: World, tmp_path: Path, which: str) -> None:
    """An error page is never saved as weights, and curl says that it failed."""
    text = config(sqlite_world, stage="gpt-2/774M", paths=["hparams.json"])
    at = text.index(which) + len(which)
    spoiled = text[:at] + ("0" if text[at] != "0" else "1") + text[at + 1 :]
    done = run(spoiled, tmp_path / "got")
    assert done.returncode != 0
    assert digests(tmp_path / "got") == {}


def test_one_spoiled_url_fails_the_whole(sqlite_world: World, tmp_path: Path) -> None:
    """The run does not end as if all were there."""
    text = config(sqlite_world, stage="gpt-2/774M")
    spoiled = text.replace("vocab.bpe?", "vocab.bpf?")
    assert spoiled != text
    done = run(spoiled, tmp_path / "got")
    assert done.returncode != 0
    assert "vocab.bpe" not in digests(tmp_path / "got")


def test_a_refusal_is_no_config(sqlite_world: World, tmp_path: Path) -> None:
    """Piped into curl, a refusal fetches nothing and fails."""
    answer = sqlite_world.api("POST", "/downloads", "uncleared", json={"stage": "gpt-2/774M"}, headers=HEADERS)
    require_problem(answer, 403, "not_cleared")
    done = run(answer.text, tmp_path / "got")
    assert done.returncode != 0
    assert digests(tmp_path / "got") == {}


def test_quotes_cannot_end_a_value() -> None:
    """Whatever stands in a path or URL stays inside its quotes."""
    text = render(['a"\nurl = "http://evil'], ["http://x/\\"])
    assert r'output = "a\"' in text
    assert r'url = "http://x/\\"' in text
