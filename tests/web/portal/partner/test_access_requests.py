"""Requests: asking for access, seeing what became of it, and taking it back."""

import re
from datetime import timedelta
from typing import Any

from server import dates
from server.domain.access import access_requests, clearances
from tests.visits import fields_of, words
from tests.world import World


def filled(world: World, **changes: Any) -> dict[str, Any]:
    until = world.clock() + timedelta(days=90)
    return {"stages": "gpt-2/774M", "purpose": "We study bias.", "until": f"{until:%Y-%m-%d}", **changes}


def test_a_request_becomes_access_or_says_what_it_waits_for(sqlite_world: World) -> None:
    """Its page follows it: with the lab, with a second admin, approved, revoked. Home says who must act, since when."""
    visit = sqlite_world.visit("uncleared")
    address = visit.post("/requests/new", filled(sqlite_world)).headers["Location"]
    assert "has not decided yet" in words(visit.get(address))
    home, today = words(visit.get("/")), dates.day(sqlite_world.clock())
    assert "You requested access" in home
    assert f"Approval by an admin Waiting for the lab since {today}" in home
    assert "Approval by a second admin Later, by the lab" in home
    assert "v1 Waiting for an owner of your organization" in home
    number = int(address.rpartition("/")[2])
    decided = access_requests.approve(sqlite_world.use, sqlite_world.admin, number)
    assert decided.clearance is not None
    assert "A second admin must approve it" in words(visit.get(address))
    clearances.approve(sqlite_world.use, sqlite_world.admin2, decided.clearance.id)
    assert "your organization is cleared until" in words(visit.get(address))
    clearances.revoke(sqlite_world.use, sqlite_world.admin, decided.clearance.id)
    assert "revoked" in words(visit.get("/requests"))


def test_the_form_knows_what_was_missing_and_loses_nothing(sqlite_world: World) -> None:
    """The stage comes from the page that led here; what is wrong is said and what was typed stays."""
    visit = sqlite_world.visit("uncleared")
    assert fields_of(visit.get("/requests/new?stage=mini-gpt/large"))["stages"] == ["mini-gpt/large"]
    assert visit.get("/requests/new?stage=a%00b").status_code == 200
    past = f"{sqlite_world.clock() - timedelta(days=3):%Y-%m-%d}"
    wrong: list[dict[str, Any]] = [
        {"stages": []}, {"stages": "nothing"}, {"stages": ["gpt-2/774M", "mini-gpt/base"]}, {"replaces": "x"},
        {"purpose": ""}, {"purpose": "x" * 10_001},
        {"until": ""}, {"until": "soon"}, {"until": past}, {"until": "2999-01-01"}, {"until": "9999-12-31"},
    ]  # fmt: skip
    for change in wrong:
        answer = visit.post("/requests/new", filled(sqlite_world, **change))
        assert answer.status_code == 422, change
        assert "We study bias." in answer.text or "purpose" in change
    assert visit.post("/requests/new", filled(sqlite_world), csrf="").status_code == 400
    assert visit.post("/requests/new", filled(sqlite_world, organization="aurora-institute")).status_code == 400
    assert sqlite_world.records("access_request.create") == []


def test_one_request_at_a_time_and_it_can_be_taken_back(sqlite_world: World) -> None:
    """Sent twice, the second is refused with the reason; withdrawn twice as well."""
    visit = sqlite_world.visit("uncleared")
    address = visit.post("/requests/new", filled(sqlite_world)).headers["Location"]
    again = visit.post("/requests/new", filled(sqlite_world))
    assert again.status_code == 409
    assert "is still open" in words(again)
    assert "We study bias." in again.text
    assert visit.post(f"{address}/withdraw").status_code == 303
    assert "withdrawn" in words(visit.get(address))
    assert visit.post(f"{address}/withdraw").status_code == 409


def test_an_open_request_is_changed_in_its_own_form(sqlite_world: World) -> None:
    """It comes back filled in, also from the page of another stage of its model, and the new one takes its place."""
    visit = sqlite_world.visit("uncleared")
    wrong = visit.post("/requests/new", filled(sqlite_world, stages="mini-gpt/large")).headers["Location"]
    number = wrong.rpartition("/")[2]
    assert f"/requests/new?earlier={number}" in visit.get(wrong).text
    for address in (f"/requests/new?earlier={number}", "/requests/new?stage=mini-gpt/base"):
        page = visit.get(address)
        held = fields_of(page)
        assert (held["replaces"], held["purpose"]) == ([number], ["We study bias."])
        assert held["stages"] == ["mini-gpt/base", "mini-gpt/large"]
        assert f"This replaces request {number}" in words(page)
    changed = visit.post("/requests/new", filled(sqlite_world, stages="mini-gpt/base", replaces=number))
    assert "research on mini-gpt" in words(visit.get(changed.headers["Location"]))
    assert "withdrawn" in words(visit.get(wrong))


def test_a_declined_request_stands_on_home_and_opens_filled_in(sqlite_world: World) -> None:
    """With its reason, in the lines in which it was written, until the organization asks again."""
    visit, purpose = sqlite_world.visit("uncleared"), "We study bias.\n\n- in long texts"
    address = visit.post("/requests/new", filled(sqlite_world, purpose=purpose)).headers["Location"]
    number = address.rpartition("/")[2]
    access_requests.decline(sqlite_world.use, sqlite_world.admin, int(number), "Too broad.\nName the people.")
    home = visit.get("/")
    assert "The lab declined your request" in words(home)
    assert '<span class="typed">Too broad.\nName the people.</span>' in home.text
    assert f'href="/requests/new?earlier={number}">Change and send again' in home.text
    held = fields_of(visit.get(f"/requests/new?earlier={number}"))
    assert (held["stages"], held["purpose"]) == (["gpt-2/774M"], [purpose])
    assert held.get("replaces", [""]) == [""]
    assert visit.post("/requests/new", filled(sqlite_world)).status_code == 303
    assert "declined your request" not in words(visit.get("/"))


def test_the_form_offers_what_a_request_can_open(sqlite_world: World) -> None:
    """Neither what is held, nor what is public, nor what is planned; and no browser cuts what is typed."""
    offered = {"uncleared": {"gpt-2/774M", "mini-gpt/base", "mini-gpt/large"}, "cleared": {"mini-gpt/large"}}
    for name, stages in offered.items():
        page = sqlite_world.visit(name).get("/requests/new").text
        assert set(re.findall(r'<input[^>]*name="stages"[^>]*value="([^"]+)"', page)) == stages
        assert "maxlength" not in re.findall(r"<textarea[^>]*>", page)[0]
        assert 'data-most="10000"' in page


def test_another_organization_s_request_does_not_exist(sqlite_world: World) -> None:
    """And the lab decides on pages of its own; a declined one says why."""
    visit = sqlite_world.visit("uncleared")
    address = visit.post("/requests/new", filled(sqlite_world)).headers["Location"]
    foreign = sqlite_world.visit("cleared")
    assert foreign.get(address).status_code == 404
    assert foreign.post(f"{address}/withdraw").status_code == 404
    assert "We study bias." not in foreign.get("/requests").text
    for name in ("admin", "auditor"):
        assert sqlite_world.visit(name).get(address).status_code == 403
        assert sqlite_world.visit(name).post("/requests/new", filled(sqlite_world)).status_code == 403
    access_requests.decline(sqlite_world.use, sqlite_world.admin, int(address.rpartition("/")[2]), "Too broad.")
    assert "Declined. “ Too broad. ”" in words(visit.get(address))
