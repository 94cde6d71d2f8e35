"""The public ladder over HTTP: the shape that is promised, for everybody alike, and kept by caches for a minute."""

from typing import Any

import pytest
from limits import parse

from server.domain.release import holds
from server.web.portal.kit import limits
from server.web.portal.kit.limits import Limit
from tests.world import World

STAGE = {"name", "state", "since", "planned", "held", "parameters", "partners", "findings", "decisions"}


def stages(body: Any) -> dict[str, Any]:
    return {f"{model['name']}/{stage['name']}": stage for model in body["models"] for stage in model["stages"]}


def test_the_answer_has_the_promised_shape(sqlite_world: World) -> None:
    """Models, their stages smallest first, and each decision with its public reason."""
    sqlite_world.move("gpt-2/774M", "public", "Nothing was found.")
    body = sqlite_world.api("GET", "/releases", None).json
    assert {model["name"]: model["title"] for model in body["models"]}["gpt-2"] == "GPT-2"
    assert all(stage.keys() == STAGE for stage in stages(body).values())
    one = stages(body)["gpt-2/774M"]
    assert (one["state"], one["held"], one["parameters"], one["partners"]) == ("public", False, 774_030_080, 2)
    assert (one["planned"], one["findings"]) == (None, {"considered": 0, "open_critical": 0})
    last = one["decisions"][-1]
    assert last == {
        "id": last["id"], "from": "partners", "to": "public", "decided_at": one["since"],
        "public_reason": "Nothing was found.",
    }  # fmt: skip
    note = "In a few months; findings from partners could change this."
    assert stages(body)["gpt-2/1558M"]["planned"] == {"from": None, "until": None, "note": note}


def test_a_lifted_hold_is_told_with_its_public_reason(world: World) -> None:
    """Beside the stages, for a stage and for the model; why it was placed is the lab's."""
    for on in ("gpt-2/774M", "gpt-2"):
        holds.place(world.use, world.admin, on, "A secret finding.")
        world.lift(on)
    answer = world.api("GET", "/releases", None)
    (model,) = [model for model in answer.json["models"] if model["name"] == "gpt-2"]
    assert [(one["on"], one["public_reason"]) for one in model["lifts"]] == [
        ("774M", "As a test wants it."), ("gpt-2", "As a test wants it."),
    ]  # fmt: skip
    assert all(one.keys() == {"id", "on", "decided_at", "public_reason"} for one in model["lifts"])
    assert b"secret" not in answer.data


def test_nobody_is_named_and_everybody_is_told_the_same(sqlite_world: World) -> None:
    """Neither an organization nor a person; and a token changes nothing of it."""
    answers = {sqlite_world.api("GET", "/releases", token).data for token in (None, "cleared", "uncleared", "admin")}
    (text,) = answers
    for word in (b"aurora", b"Aurora", b"birch", b"example-lab", b"Ada", b"@"):
        assert word not in text


def test_an_answer_that_is_known_is_not_sent_again(sqlite_world: World) -> None:
    """It is named by its content, and another name once anything has changed."""
    first = sqlite_world.api("GET", "/releases", None)
    assert first.headers["Cache-Control"] == "public, max-age=60"
    assert "Set-Cookie" not in first.headers
    known = {"If-None-Match": first.headers["ETag"]}
    again = sqlite_world.api("GET", "/releases", None, headers=known)
    assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", first.headers["ETag"])
    sqlite_world.move("gpt-2/774M", "public")
    changed = sqlite_world.api("GET", "/releases", None, headers=known)
    assert changed.status_code == 200
    assert changed.headers["ETag"] != first.headers["ETag"]


@pytest.mark.parametrize("path", ["/api/v1/releases", "/releases", "/releases.atom"])
def test_where_the_ladder_is_closed_a_sign_in_is_needed(sqlite_world: World, path: str) -> None:
    """In the API with a token, on pages with a session; what is then told is kept by nobody else."""
    world = sqlite_world
    world.use.settings = world.settings.model_copy(update={"public_releases": False})
    is_api = path.startswith("/api")
    closed = world.client.get(path, headers={} if is_api else {"Accept": "text/html"})
    assert closed.status_code == (401 if is_api else 303)
    open_ = world.api("GET", "/releases", "uncleared") if is_api else world.visit("uncleared").get(path)
    assert open_.status_code == 200
    assert not open_.headers["Cache-Control"].startswith("public")


@pytest.mark.parametrize("path", ["/api/v1/releases", "/releases", "/releases.atom"])
def test_who_reads_too_often_waits(sqlite_world: World, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted by address, over all three; whoever is signed in is not counted."""
    monkeypatch.setitem(limits.RATES, Limit.READING_OF_ADDRESS, parse("3 per 15 minutes"))
    world = sqlite_world
    for other in ("/api/v1/releases", "/releases", "/releases.atom"):
        assert world.client.get(other).status_code == 200
    late = world.client.get(path)
    assert late.status_code == 429
    assert int(late.headers["Retry-After"]) > 0
    assert world.api("GET", "/releases", "cleared").status_code == 200
    assert world.visit("cleared").get("/releases").status_code == 200
