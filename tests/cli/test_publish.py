"""`publish` at the command line; what is publishable is tested with the domain."""

from pathlib import Path

import pytest

from tests.cli.operator import Operator
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
