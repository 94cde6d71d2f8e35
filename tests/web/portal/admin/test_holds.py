"""Holds: placing one, cutting and lifting, each on a page that says what it stops or gives back."""

import pytest

from server.domain.downloads import cutting, issuing, session_downloads
from tests import sessions
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
    assert admin.post("/admin/holds/propose-lift", {"on": on, "reason": "Not reproduced."}).status_code == 303
    assert f"{world.admin.person} proposed" in words(admin.get("/admin/stages"))
    own = admin.post("/admin/holds/approve-lift", {"on": on})
    assert own.status_code == 409
    assert "You proposed this yourself" in words(own)
    assert "Not reproduced." in words(world.visit("admin2").get("/admin/holds/approve-lift", query_string={"on": on}))
    assert world.api("POST", "/downloads", json={"stage": "gpt-2/774M"}).status_code == 451
    assert world.visit("admin2").post("/admin/holds/approve-lift", {"on": on}).status_code == 303
    assert world.api("POST", "/downloads", json={"stage": "gpt-2/774M"}).status_code == 201
    assert world.visit("admin2").post("/admin/holds/approve-lift", {"on": on}).status_code == 409


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


def test_a_hold_is_placed_with_a_cut_and_shows_what_became_of_it(sqlite_world: World) -> None:
    """Before: how many URLs are out; then that they are being cut; then after how long they failed."""
    world = sqlite_world
    admin = world.visit("admin")
    issuing.issue(world.use, world.caller("cleared"), world.order())
    page = words(admin.get("/admin/holds/place?on=gpt-2/774M"))
    assert "the bucket refuses every URL for what is on hold" in page
    assert "7 URLs of 1 download are still valid" in page
    fields = {"on": "gpt-2/774M", "reason": "A leak.", "cut_issued": "y"}
    assert admin.post("/admin/holds/place", fields).status_code == 303
    assert "Issued URLs are being cut" in words(admin.get("/admin/stages/gpt-2/774M"))
    assert admin.post("/admin/holds/cut", {"on": "gpt-2/774M"}).status_code == 409
    cutting.carry_out(world.use)
    page = words(admin.get("/admin/stages/gpt-2/774M"))
    assert "ms after the cut" in page
    assert "have not expired, but the store refuses them" in page
    world.lift("gpt-2/774M")
    cutting.carry_out(world.use)


def test_a_hold_is_cut_later_and_a_failure_is_told(sqlite_world: World) -> None:
    """An organization's URLs cannot be told apart at a store elsewhere: the switch is not offered, and the page why."""
    world = sqlite_world
    admin, on = world.visit("admin"), {"on": "organization:birch-university"}
    page = admin.get("/admin/holds/place", query_string=on)
    assert "replace the signer's key" in words(page)
    assert 'name="cut_issued"' not in page.text
    assert admin.post("/admin/holds/place", {**on, "reason": "A leak."}).status_code == 303
    assert "cut_form" not in page.text
    assert admin.post("/admin/holds/cut", on).status_code == 303
    cutting.carry_out(world.use)
    assert "could not be cut" in words(admin.get("/admin/organizations/birch-university"))


@pytest.mark.parametrize("name", ["cut", "propose-lift", "approve-lift"])
def test_what_is_not_on_hold_is_neither_cut_nor_lifted(sqlite_world: World, name: str) -> None:
    """Each page opens and says so."""
    admin = sqlite_world.visit("admin")
    assert "no hold on it" in words(admin.get(f"/admin/holds/{name}?on=gpt-2"))
    fields = {"on": "gpt-2"} | ({"reason": "x"} if name == "propose-lift" else {})
    answer = admin.post(f"/admin/holds/{name}", fields)
    assert answer.status_code == 409
    assert "is not on hold" in words(answer)


def test_keys_of_the_store_are_told_apart_from_urls(sqlite_world: World) -> None:
    """Who places a hold reads that they go on, and until when; of URLs nothing is said where there are none."""
    sessions.open_door(sqlite_world)
    session_downloads.issue(sqlite_world.use, sqlite_world.caller("cleared"), "mini-gpt/base")
    text = sqlite_world.visit("admin").get("/admin/holds/place?on=mini-gpt/base").text
    assert "1 set of keys</strong> that the store made for S3 tools works, even after a hold" in text
    assert "0 URL" not in text
    issuing.issue(sqlite_world.use, sqlite_world.caller("cleared"), sqlite_world.order("mini-gpt/base"))
    text = sqlite_world.visit("admin").get("/admin/holds/place?on=mini-gpt/base").text
    assert "URLs</strong> of 1 download are still valid" in text
