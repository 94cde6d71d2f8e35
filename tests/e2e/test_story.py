"""The whole story of 2019, told by the demo on the real server, and what it leaves for everybody to see."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from server.storage.embedded import free_port
from tests.cli.started import Started

SECONDS = 180
LADDER = {"124M": "2019-02-14", "355M": "2019-05-03", "774M": "2019-08-20", "1558M": "2019-11-05"}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, Any], str, Path]]:
    """The demo after its story: what demo.json says, what was printed, and its folder."""
    folder, port = tmp_path_factory.mktemp("story"), free_port()
    store = f"http://127.0.0.1:{free_port({port})}"
    started = Started(folder, "demo", "--story", "--fast", "--port", str(port), WEIGHTGATE_S3_ENDPOINT_URL=store)
    try:
        started.until(lambda: "Weightgate is ready" in started.out, SECONDS)
        yield json.loads((folder / "demo.json").read_text(encoding="utf-8")), started.out, folder
    finally:
        started.interrupt()
        started.kill()


def command(demo: dict[str, Any], folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "server", "--data", str(folder), *words], capture_output=True, text=True, check=False,
        env=os.environ | {"WEIGHTGATE_S3_ENDPOINT_URL": demo["s3_endpoint"]},
    )  # fmt: skip


def test_every_chapter_is_told_in_order(told: tuple[dict[str, Any], str, Path]) -> None:
    """The narrator names each day once, and each act that the 2019 release had."""
    _, printed, _ = told
    days = ("14 February 2019", "3 May 2019", "20 August 2019", "7 October 2019", "5 November 2019")
    assert sorted(map(printed.index, days)) == [printed.index(day) for day in days]
    for sentence in ("considers 4 findings", "1558M is on hold", "lifted", "no faults"):
        assert sentence in printed


def test_the_public_ladder_shows_each_stage_since_its_day(told: tuple[dict[str, Any], str, Path]) -> None:
    """All four are public, each since the day of its decision, with the decision's public reason."""
    demo, _, _ = told
    model = requests.get(f"{demo['endpoint']}/api/v1/releases", timeout=10).json()["models"][0]
    assert {stage["name"]: stage["since"][:10] for stage in model["stages"]} == LADDER
    for stage in model["stages"]:
        assert stage["state"] == "public"
        assert stage["decisions"][-1]["to"] == "public"
        assert stage["decisions"][-1]["public_reason"]
    findings = {stage["name"]: stage["findings"] for stage in model["stages"]}
    assert findings["774M"] == {"considered": 4, "open_critical": 0}
    assert findings["1558M"] == {"considered": 4, "open_critical": 0}


def test_log_and_tables_verify_in_the_present(told: tuple[dict[str, Any], str, Path]) -> None:
    """The entries of ten months, dated by the story's clock, and the live tables: no fault."""
    demo, _, folder = told
    for words in (("log", "verify"), ("log", "verify", "--tables")):
        done = command(demo, folder, *words)
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_finished_story_is_not_told_again(told: tuple[dict[str, Any], str, Path]) -> None:
    """Another run finds the folder in use; nothing half-told is left in it."""
    demo, _, folder = told
    assert "already running" in command(demo, folder, "demo", "--story", "--fast").stderr
    assert not (folder / "story.json").exists()
