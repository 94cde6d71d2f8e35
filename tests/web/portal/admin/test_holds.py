"""Holds: placing one on a stage, a model or everything, each on a page that says what it stops."""

import pytest

from tests.visits import words
from tests.world import World


@pytest.mark.parametrize("on", ["gpt-2/774M", "gpt-2", "everything"])
def test_a_hold_stops_the_next_download_until_it_is_lifted(sqlite_world: World, on: str) -> None:
    """It stands on top of the stages with its reason, and a second one is refused with the one that lies."""
    world = sqlite_world
    admin = world.visit("admin")
    assert admin.get(f"/admin/holds/place?on={on}").status_code == 200
    assert admin.post("/admin/holds/place", {"on": on, "reason": ""}).status_code == 422
    assert admin.post("/admin/holds/place", {"on": on, "reason": "A report."}).status_code == 303
    assert world.api("POST", "/downloads", json={"stage": "gpt-2/774M"}).status_code == 451
    assert f"{on} is on hold" in words(admin.get("/admin/stages"))
    assert "A report." in words(admin.get("/admin/stages/gpt-2/774M"))
    late = world.visit("admin2").post("/admin/holds/place", {"on": on, "reason": "Kept words."})
    assert late.status_code == 409
    assert "A report." in words(late)
    assert "Kept words." in late.text
    assert admin.post("/admin/holds/lift", {"on": on}).status_code == 303
    assert world.api("POST", "/downloads", json={"stage": "gpt-2/774M"}).status_code == 201
    assert admin.post("/admin/holds/lift", {"on": on}).status_code == 409


def test_a_hold_lies_on_something(sqlite_world: World) -> None:
    """What is not there is not found, whatever it is called; and only admins place one."""
    world = sqlite_world
    admin = world.visit("admin")
    for on in ("gpt-2/9B", "nothing", "x/y/z", "a\0b", ""):
        assert admin.get("/admin/holds/place", query_string={"on": on}).status_code == 404, on
        assert admin.post("/admin/holds/place", {"on": on, "reason": "x"}).status_code == 404, on
    fields = {"on": "everything", "reason": "x"}
    for name in ("publisher", "auditor", "cleared"):
        assert world.visit(name).get("/admin/holds/place?on=everything").status_code == 403
        assert world.visit(name).post("/admin/holds/place", fields).status_code == 403
