"""What the tests of commands share: an operator on a copy of the worked example."""

from pathlib import Path

import pytest

from tests.cli.operator import Operator
from tests.world import World


@pytest.fixture
def operator(sqlite_world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Operator:
    """At a copy of the worked example on SQLite; commands are the same on both databases."""
    return Operator(sqlite_world.folder, monkeypatch, capsys).knows(sqlite_world)


@pytest.fixture
def newcomer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Operator:
    """At a folder that is not there yet."""
    return Operator(tmp_path / "new", monkeypatch, capsys)
