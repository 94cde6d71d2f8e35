"""Requests: asking for access, seeing what became of it, and taking it back."""

from datetime import timedelta
from typing import Any

from server.domain.access import access_requests, clearances
from tests.visits import words
from tests.world import World


def filled(world: World, **changes: Any) -> dict[str, Any]:
    until = world.clock() + timedelta(days=90)
    return {"model": "gpt-2", "tier": "research", "purpose": "We study bias.", "until": f"{until:%Y-%m-%d}", **changes}


def test_a_request_becomes_access_or_says_what_it_waits_for(sqlite_world: World) -> None:
    """The page of the request follows it: with the lab, with a second admin, approved, revoked."""
    visit = sqlite_world.visit("uncleared")
    address = visit.post("/requests/new", filled(sqlite_world)).headers["Location"]
    assert "has not decided yet" in words(visit.get(address))
    assert "You requested access" in words(visit.get("/"))
    number = int(address.rpartition("/")[2])
    decided = access_requests.approve(sqlite_world.use, sqlite_world.admin, number)
    assert decided.clearance is not None
    assert "A second admin must approve it" in words(visit.get(address))
    clearances.approve(sqlite_world.use, sqlite_world.admin2, decided.clearance.id)
    assert "your organization is cleared until" in words(visit.get(address))
    clearances.revoke(sqlite_world.use, sqlite_world.admin, decided.clearance.id)
    assert "revoked" in words(visit.get("/requests"))


def test_the_form_knows_what_was_missing_and_loses_nothing(sqlite_world: World) -> None:
    """Model and tier come from the page that led here; what is wrong is said and what was typed stays."""
    visit = sqlite_world.visit("uncleared")
    page = visit.get("/requests/new?model=mini-gpt&tier=partner").text
    assert '<option selected value="mini-gpt">' in page
    assert '<option selected value="partner">' in page
    assert visit.get("/requests/new?model=nothing&tier=a%00b").status_code == 200
    past = f"{sqlite_world.clock() - timedelta(days=3):%Y-%m-%d}"
    wrong: list[dict[str, Any]] = [
        {"model": ""}, {"model": "nothing"}, {"tier": "a\0b"}, {"purpose": ""}, {"purpose": "x" * 1001},
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
    assert "Declined. “Too broad.”" in words(visit.get(address))
