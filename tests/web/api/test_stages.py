"""Stages over HTTP: what a caller may know of, and whether it is open to them."""

from typing import Any

import pytest

from server.domain.release import holds, stage_editing
from server.domain.release.plans import Window
from tests.world import World, cases

KEYS = {
    "name", "model", "stage", "state", "plan", "planned", "ordinal", "parameters", "state_since", "held", "tier",
    "agreement", "may_download", "refusal", "tasks",
}  # fmt: skip
ALL = ["gpt-2/124M", "gpt-2/355M", "gpt-2/774M", "gpt-2/1558M", "mini-gpt/base", "mini-gpt/large"]
PUBLIC = ["gpt-2/124M", "gpt-2/355M"]


def listed(world: World, token: str | None) -> dict[str, Any]:
    return {item["name"]: item for item in world.api("GET", "/stages", token).json["items"]}


@cases(
    ("token", "names", "open_ones"),
    [
        ("admin", ALL, PUBLIC),
        ("cleared", ALL, [*PUBLIC, "gpt-2/774M", "mini-gpt/base"]),
        ("unsigned", ALL, PUBLIC),
        ("uncleared", ALL, PUBLIC),
        (None, PUBLIC, PUBLIC),
    ],
)
def test_the_ladder_shows_what_is_open(world: World, token: str | None, names: list[str], open_ones: list[str]) -> None:
    """Every stage the caller may know of, with why not where it is not open; and issuing agrees."""
    items = listed(world, token)
    assert list(items) == names
    assert [name for name in names if items[name]["may_download"]] == open_ones
    for name, item in items.items():
        assert set(item) == KEYS
        assert (item["refusal"] is None) == item["may_download"]
        assert world.api("GET", f"/stages/{name}", token).json == item
        issued = world.api("POST", "/downloads", token, json={"stage": name})
        assert (issued.status_code == 201) == item["may_download"]
        if item["refusal"] is not None:
            assert set(item["refusal"]) == {"code", "title", "detail", "next_step"}
            assert item["refusal"]["code"] == issued.json["code"]


def test_an_announced_plan_shows_name_and_plan_only(sqlite_world: World) -> None:
    """To partners nothing else of a planned stage exists; staff see all."""
    item = listed(sqlite_world, "cleared")["gpt-2/1558M"]
    shown = {key for key in KEYS if item[key] not in (None, [])}
    assert shown == {"name", "model", "stage", "state", "plan", "planned", "may_download", "refusal"}
    note = "In a few months; findings from partners could change this."
    assert (item["state"], item["plan"]) == ("planned", note)
    assert item["planned"] == {"from": None, "until": None, "note": note}
    assert listed(sqlite_world, "auditor")["gpt-2/1558M"]["parameters"] is not None


def test_a_planned_window_is_told_in_months_and_in_words(sqlite_world: World) -> None:
    """For programs the months, for people a sentence before the note."""
    world = sqlite_world
    window = Window("2031-11", "2032-02")
    stage_editing.edit(world.use, world.admin, "gpt-2/1558M", planned=window, note="If all goes well.")
    item = world.api("GET", "/stages/gpt-2/1558M").json
    assert item["planned"] == {"from": "2031-11", "until": "2032-02", "note": "If all goes well."}
    assert item["plan"] == "Planned for November 2031 to February 2032. If all goes well."


@pytest.mark.parametrize("token", ["cleared", "uncleared", None])
def test_a_plan_that_is_not_announced_does_not_exist(sqlite_world: World, token: str | None) -> None:
    """Neither in the list nor by name, and by name like one that never was."""
    stage_editing.edit(sqlite_world.use, sqlite_world.admin, "gpt-2/1558M", announced=False)
    assert "gpt-2/1558M" not in listed(sqlite_world, token)
    secret, never = (sqlite_world.api("GET", f"/stages/gpt-2/{name}", token) for name in ("1558M", "1559M"))
    assert {**secret.json, "request_id": ""} == {**never.json, "request_id": ""}
    assert "gpt-2/1558M" in listed(sqlite_world, "auditor")


def test_a_hold_shows(sqlite_world: World) -> None:
    """From the next request on, with its refusal, and the reason stays with staff."""
    holds.place(sqlite_world.use, sqlite_world.admin, "gpt-2", "a secret reason")
    items = listed(sqlite_world, "cleared")
    assert {name for name, item in items.items() if item["held"]} == {"gpt-2/124M", "gpt-2/355M", "gpt-2/774M"}
    assert items["gpt-2/774M"]["refusal"]["code"] == "stage_held"
    assert "secret reason" not in str(items)
