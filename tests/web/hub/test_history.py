"""The history of a stage: one branch, and the checkpoints as commits, newest first."""

import re
from pathlib import Path

import pytest

from server.domain.publish import main_checkpoint
from tests.web.hub.links import next_of
from tests.world import World

COMMITS = "/api/models/mini-gpt/base/commits"


@pytest.fixture
def ids(world: World, tmp_path: Path) -> list[str]:
    """The ids of three checkpoints of mini-gpt/base, newest first."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "README.md").write_text("A third one.", encoding="utf-8")
    world.publish(tmp_path / "model", "mini-gpt/base", note="Three.\n\nWith a reason.")
    return [item["id"] for item in world.api("GET", "/stages/mini-gpt/base/checkpoints").json["items"]]


def commits(world: World, path: str) -> list[str]:
    return [commit["id"] for commit in world.ask("GET", f"{COMMITS}/{path}").json]


def test_the_branch_is_at_the_newest_checkpoint(world: World) -> None:
    """All three lists are there, or the client fails."""
    sha = world.ask("GET", "/api/models/mini-gpt/base").json["sha"]
    assert world.ask("GET", "/api/models/mini-gpt/base/refs?include_prs=1").json == {
        "branches": [{"name": "main", "ref": "refs/heads/main", "targetCommit": sha}],
        "converts": [],
        "tags": [],
    }


def test_commits_are_the_checkpoints_up_to_a_revision(world: World, ids: list[str]) -> None:
    """Newest first; from an older one on, what came after it is not told."""
    assert commits(world, "main") == ids
    assert commits(world, ids[1]) == ids[1:]
    assert world.ask("GET", f"{COMMITS}/{'0' * 40}").headers["X-Error-Code"] == "RevisionNotFound"
    main_checkpoint.set_main(world.use, world.admin, "mini-gpt/base", ids[1])
    assert commits(world, "main") == ids[1:]


def test_a_commit_says_what_was_noted_and_not_by_whom(world: World, ids: list[str]) -> None:
    """The first line is the title; the author is the model."""
    newest, *_ = world.ask("GET", f"{COMMITS}/main?formatted=true").json
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", newest.pop("date"))
    assert newest == {
        "id": ids[0], "title": "Three.", "message": "With a reason.", "authors": [{"user": "mini-gpt"}],
    }  # fmt: skip
    assert "@" not in world.ask("GET", f"{COMMITS}/main").text


def test_commits_come_in_parts(world: World, ids: list[str]) -> None:
    """Each once, whatever the size of a part; a cursor that is none starts at the beginning."""
    for limit in (1, 2, 3, 9):
        found, path = list[str](), f"main?limit={limit}"
        while path:
            answer = world.ask("GET", f"{COMMITS}/{path}")
            found += [commit["id"] for commit in answer.json]
            path = next_of(answer).removeprefix(f"{COMMITS}/")
        assert found == ids
    for cursor in ("x", "-1", "99999999999999999999999", "²"):
        assert commits(world, f"main?cursor={cursor}") == ids
