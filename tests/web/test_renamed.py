"""Renamed stages: an alias resolves at every door, and the answer says what it is called today."""

import pytest

from server.domain.release import stages
from server.domain.release.stages import StageState
from tests.world import World, cases

SAYS = '299 - "gpt-2/762M is now called gpt-2/774M"'
READ = ["", "/checkpoints", "/checkpoints/main", "/checkpoints/main/manifest", "/checkpoints/main/manifest/chunks"]
PAGES = ["", "/main", "/main/commands", "/main/manifest", "/main/manifest/chunks", "/main/SHA256SUMS"]
LAB = ["", "/edit", "/alias"]


@cases("path", READ)
def test_the_api_answers_for_an_alias_with_a_warning(world: World, path: str) -> None:
    """The same answer as under the name of today, which itself is answered without one."""
    by_alias, by_name = (world.api("GET", f"/stages/gpt-2/{name}{path}") for name in ("762M", "774M"))
    assert (by_alias.status_code, by_alias.data) == (200, by_name.data)
    assert by_alias.headers["Warning"] == SAYS
    assert "Warning" not in by_name.headers


@pytest.mark.parametrize("accept", ["application/json", "text/x-curl-config"])
def test_a_download_by_alias_is_logged_under_the_name_of_today(world: World, accept: str) -> None:
    """Whatever form the answer has; renewing it is no longer by alias."""
    answer = world.api("POST", "/downloads", json={"stage": "gpt-2/762M"}, headers={"Accept": accept})
    assert (answer.status_code, answer.headers["Warning"]) == (201, SAYS)
    record = world.records("download")[-1]
    assert (record["model"], record["stage"]) == ("gpt-2", "774M")
    assert world.entries("download")[-1].stage == "gpt-2/774M"
    again = world.api("POST", f"/downloads/{record['download']}/urls", json={})
    assert (again.status_code, again.headers.get("Warning")) == (201, None)


@pytest.mark.parametrize(("who", "path"), [("cleared", f"/stages/gpt-2/{{}}{path}") for path in PAGES]
                         + [("admin", f"/admin/stages/gpt-2/{{}}{path}") for path in LAB])  # fmt: skip
def test_a_page_under_an_alias_leads_on(sqlite_world: World, who: str, path: str) -> None:
    """To the same page under the name of today, with what was asked of it, for good."""
    answer = sqlite_world.visit(who).get(path.format("762M") + "?cursor=3")
    assert (answer.status_code, answer.headers["Warning"]) == (308, SAYS)
    assert answer.headers["Location"] == path.format("774M") + "?cursor=3"
    assert sqlite_world.visit(who).get(path.format("774M")).status_code == 200


def test_a_file_that_is_asked_for_under_an_alias_is_that_of_the_stage(sqlite_world: World) -> None:
    """The form of an older page is not sent twice."""
    answer = sqlite_world.visit("cleared").post("/stages/gpt-2/762M/main/files", {"path": "vocab.bpe"})
    assert (answer.status_code, answer.headers["Warning"]) == (303, SAYS)
    assert sqlite_world.records("download")[-1]["stage"] == "774M"


def test_whoever_may_not_know_a_stage_is_not_told_its_name(sqlite_world: World) -> None:
    """A refusal names nothing: neither of a plan that is hidden, nor to strangers."""
    world = sqlite_world
    stages.add(world.use, world.admin, "gpt-2/3B", tier="research")
    stages.add_alias(world.use, world.admin, "gpt-2/3B", "2.9B")
    for token, stage in (("cleared", "gpt-2/2.9B"), (None, "gpt-2/762M")):
        answer = world.api("GET", f"/stages/{stage}", token)
        assert answer.status_code in {401, 404}
        assert "Warning" not in answer.headers
        assert "3B" not in answer.text
    world.move("gpt-2/774M", StageState.PUBLIC)
    assert world.api("GET", "/stages/gpt-2/762M", None).headers["Warning"] == SAYS
