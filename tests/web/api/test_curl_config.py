"""The curl config, run by the real curl against the real store."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from server.domain.publish.checkpoints import File
from server.log import canonical
from server.storage.signing import StoredObject
from server.web.api.curl_config import LEAVE_OUT_COMPLETE, WITH_WGET, render
from tests import parts
from tests.aria2 import digests
from tests.world import World

HEADERS = {"Accept": "text/x-curl-config"}


def config(world: World, **order: object) -> str:
    answer = world.api("POST", "/downloads", json=order, headers=HEADERS)
    assert answer.status_code == 201
    assert answer.mimetype == "text/x-curl-config"
    (record,) = world.records("download")
    assert answer.headers["X-Download-Id"] == record["download"]
    return str(answer.text)


def run(text: str, folder: Path, *options: str) -> "subprocess.CompletedProcess[bytes]":
    folder.mkdir(exist_ok=True)
    command = ["curl", "-q", "--silent", "--show-error", *options, "-K", "-"]
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
    done = run(answer.text, tmp_path / "got")
    assert done.returncode != 0
    assert digests(tmp_path / "got") == {}


def test_quotes_cannot_end_a_value() -> None:
    """Whatever stands in a path or URL stays inside its quotes."""
    file = File('a"\nurl = "http://evil', 1, "0" * 64, StoredObject("key"), canonical.encoded({}))
    text = render([(file, "http://x/\\")])
    assert r'output = "a\"' in text
    assert r'url = "http://x/\\"' in text


def fetched(world: World, folder: Path) -> str:
    """A folder as a first run left it, with one file cut as by a line that broke; returns a second run's config."""
    run(config(world, stage="mini-gpt/base"), folder)
    cut = folder / "model-00001-of-00002.safetensors"
    cut.write_bytes(cut.read_bytes()[:1000])
    return str(world.api("POST", "/downloads", json={"stage": "mini-gpt/base"}, headers=HEADERS).text)


def test_a_second_run_completes_what_was_cut(sqlite_world: World, tmp_path: Path) -> None:
    """It begins again, and the folder is what was published."""
    done = run(fetched(sqlite_world, tmp_path / "got"), tmp_path / "got")
    assert done.returncode == 0, done.stderr
    assert digests(tmp_path / "got") == digests(sqlite_world.template.sources / "mini-gpt/base")


def test_what_is_complete_can_be_left_out(sqlite_world: World, tmp_path: Path) -> None:
    """The filter of the portal's page leaves the URLs of what is not complete, which curl can then resume."""
    text = fetched(sqlite_world, tmp_path / "got")
    filtered = subprocess.run(
        ["sh", "-c", LEAVE_OUT_COMPLETE], input=text, cwd=tmp_path / "got", capture_output=True, text=True, check=True
    )
    assert filtered.stderr == ""
    assert re.findall('output = "(.*)"', filtered.stdout) == ["model-00001-of-00002.safetensors"]
    assert filtered.stdout.startswith("fail\n")
    done = run(filtered.stdout, tmp_path / "got", "-C", "-")
    assert done.returncode == 0, done.stderr
    assert digests(tmp_path / "got") == digests(sqlite_world.template.sources / "mini-gpt/base")


@pytest.mark.parametrize("options", [(), ("-C", "-")], ids=" ".join)
@pytest.mark.parametrize("spoil", [False, True])
def test_no_run_loses_a_complete_file(
    sqlite_world: World, tmp_path: Path, options: tuple[str, ...], spoil: bool
) -> None:
    """Resumed over a complete folder, or refused by the store: everything that was there still is."""
    folder, text = tmp_path / "got", config(sqlite_world, stage="mini-gpt/base")
    run(text, folder)
    run(re.sub(r"X-Amz-Signature=[0-9a-f]{8}", "X-Amz-Signature=00000000", text) if spoil else text, folder, *options)
    assert digests(folder) == digests(sqlite_world.template.sources / "mini-gpt/base")


def test_wget_fetches_under_the_published_names(sqlite_world: World, tmp_path: Path) -> None:
    """Left alone, it would name each file after its URL, query included."""
    if shutil.which("wget") is None:
        parts.missing("wget")
    text = config(sqlite_world, stage="gpt-2/774M")
    folder = tmp_path / "fetched"
    folder.mkdir()
    environment = {**os.environ, "no_proxy": "*"}
    command = ["sh", "-c", WITH_WGET]
    folder = tmp_path / "got"
    folder.mkdir()
    subprocess.run(command, input=text, cwd=folder, capture_output=True, text=True, check=True, env=environment)
    assert digests(folder) == digests(sqlite_world.template.sources / "gpt-2/774M")
