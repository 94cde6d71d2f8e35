"""`publish` at the command line; what is publishable is tested with the domain."""

import shutil
from pathlib import Path

import pytest

from server.cli.publish import Bars
from tests.cli.operator import Operator
from tests.domain.publish.folders import put
from tests.world import World

ADD = ("stage", "add", "mini-gpt/small", "--tier", "research", "--agreement", "model-sharing")


@pytest.fixture
def folder(sqlite_world: World) -> Path:
    return sqlite_world.template.sources / "mini-gpt" / "large"


def test_a_folder_becomes_the_stage_s_main(operator: Operator, sqlite_world: World, folder: Path) -> None:
    """The id that is printed is the one that the API then calls `main`."""
    operator(*ADD, by="admin")
    done = operator("publish", folder, "mini-gpt/small", "--note", "First.", "--json", by="publisher")
    shown = sqlite_world.api("GET", "/stages/mini-gpt/small/checkpoints/main", "publisher").json
    assert (done.body["id"], done.body["files"]) == (shown["id"], len(shown["files"]))
    assert shown["note"] == "First."
    assert done.err == ""


def test_a_folder_that_is_not_there_is_one_line(operator: Operator, tmp_path: Path) -> None:
    """Nothing is asked of the store, and the line says what to check."""
    assert "cannot be read" in operator("publish", tmp_path / "none", "mini-gpt/base", by="publisher", code=1).line


def test_a_pickle_is_one_line_and_nothing_is_visible(operator: Operator, sqlite_world: World, tmp_path: Path) -> None:
    """A refused folder leaves `main` as it was."""
    before = sqlite_world.api("GET", "/stages/mini-gpt/base/checkpoints/main", "publisher").json["id"]
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "pytorch_model.bin").write_bytes(b"\x80\x04N.")
    assert "pytorch_model.bin" in operator("publish", pickled, "mini-gpt/base", by="publisher", code=1).line
    assert sqlite_world.api("GET", "/stages/mini-gpt/base/checkpoints/main", "publisher").json["id"] == before


def test_an_unknown_stage_is_one_line(operator: Operator, folder: Path) -> None:
    """A misspelled stage is named before anything is uploaded."""
    assert (
        "There is no stage mini-gpt/huge" in operator("publish", folder, "mini-gpt/huge", by="publisher", code=1).line
    )


def test_all_that_is_wrong_is_told_a_line_each(operator: Operator, tmp_path: Path) -> None:
    """Three faults in one run, and how many there are."""
    spoilt = put(tmp_path / "spoilt", dict.fromkeys(("a.bin", "b.svg", ".env"), b"x"))
    lines = operator("publish", spoilt, "mini-gpt/base", by="publisher", code=1).err.splitlines()
    starts = [line.removeprefix("weightgate-server: ").partition(":")[0] for line in lines]
    assert starts == [".env", "a.bin", "b.svg", "3 things are wrong, and nothing was published"]


def test_what_is_left_out_and_what_to_know_first_are_said(operator: Operator, folder: Path, tmp_path: Path) -> None:
    """On the error stream before anything happens, and with `--json` in the answer."""
    clone = tmp_path / "clone"
    shutil.copytree(folder, clone)
    (clone / ".gitattributes").write_text("*.safetensors filter=lfs\n")
    operator("stage", "alias", "mini-gpt/base", "basis", by="admin")
    done = operator("publish", clone, "mini-gpt/basis", by="publisher")
    assert done.err.splitlines()[0] == "mini-gpt/basis is an alias: this publishes to mini-gpt/base"
    uploaded, next_step = done.out.splitlines()
    assert uploaded.endswith("of mini-gpt/base. Nobody can see it yet. Omitted: .gitattributes.")
    assert next_step.endswith("must approve it: `weightgate-server proposal approve 1`.")
    assert operator("proposal", "show", 1, "--json", by="publisher").body["state"] == "proposed"
    assert operator("proposal", "reject", 1, "--json", by="publisher").body["state"] == "withdrawn"
    (clone / "notes.txt").write_text("Another set.\n")
    body = operator("publish", clone, "mini-gpt/base", "--json", by="publisher").body
    assert body["left_out"] == [".gitattributes"]
    assert body["warnings"][0].startswith("mini-gpt/base is available to cleared partners")
    assert (body["state"], body["proposal"], "must approve it" in body["next"]) == ("proposed", 2, True)


def test_without_a_terminal_a_line_comes_every_half_minute(capsys: pytest.CaptureFixture[str]) -> None:
    """A run of hours in a job's output is not silent, and not a line a block either."""
    times = [0.0]
    with Bars(quiet=False, clock=lambda: times[-1]) as bars:
        for seconds in (0.0, 29.0, 30.0, 31.0, 59.0, 61.0):
            times.append(seconds)
            bars.advance_named("uploading", 500_000_000, 5_000_000_000)
    assert capsys.readouterr().err.splitlines() == [
        "uploading: 1.50 of 5.00 GB, 30%",
        "uploading: 3.00 of 5.00 GB, 60%",
    ]
    with Bars(quiet=True, clock=lambda: times[-1]) as bars:
        times.append(1000.0)
        bars.advance_named("uploading", 1, 2)
    assert capsys.readouterr().err == ""
