"""Requests for access: decided on one page, once."""

from datetime import timedelta

from server.domain.access import access_requests
from tests.visits import words
from tests.world import World


def ask(world: World, tier: str = "research") -> str:
    """As the partner that is not cleared; returns the address of the request."""
    wanted_until = world.clock() + timedelta(days=100)
    asked = access_requests.create(
        world.use, world.person("uncleared"), "gpt-2", tier, purpose="We study misuse.", wanted_until=wanted_until
    )
    return f"/admin/requests/{asked.id}"


def test_an_approved_request_becomes_a_clearance_that_another_admin_approves(sqlite_world: World) -> None:
    """The two steps are shown from the start; whoever took the first cannot take the second."""
    world = sqlite_world
    address = ask(world)
    admin = world.visit("admin")
    page = words(admin.get(address))
    for part in ("We study misuse.", "gpt-2/774M", "Another admin approves the clearance.", "Downloads"):
        assert part in page, part
    day = (world.clock() + timedelta(days=50)).date().isoformat()
    answer = admin.post(f"{address}/approve", {"last_day": day})
    assert answer.status_code == 303
    clearance = answer.headers["Location"]
    assert "proposed" in words(admin.get(clearance))
    assert admin.post(f"{clearance}/approve").status_code == 409
    assert world.visit("admin2").post(f"{clearance}/approve").status_code == 303
    assert "approved" in words(admin.get(address))


def test_a_declined_request_says_why_and_is_decided_once(sqlite_world: World) -> None:
    """The second admin reads what the first one did, and loses no words."""
    world = sqlite_world
    address = ask(world)
    assert world.visit("admin").post(f"{address}/decline", {"because": " "}).status_code == 422
    assert world.visit("admin").post(f"{address}/decline", {"because": "Too early."}).status_code == 303
    late = world.visit("admin2").post(f"{address}/approve", {"last_day": "2030-01-01"})
    assert late.status_code == 409
    assert "already declined by Ada Quist" in words(late)
    assert "Too early." in words(late)
    assert world.visit("admin2").post(f"{address}/decline", {"because": "No."}).status_code == 409
    assert "declined" in words(world.visit("auditor").get("/admin/requests"))


def test_a_day_that_is_none_is_refused(sqlite_world: World) -> None:
    """And the request stays open."""
    world = sqlite_world
    address = ask(world)
    admin = world.visit("admin")
    for day, said in (("", "Enter a date."), ("2019-01-01", "in the future"), ("9999-12-31", "no later than the year")):
        answer = admin.post(f"{address}/approve", {"last_day": day})
        assert answer.status_code == 422, day
        assert said in words(answer)
    assert admin.post(f"{address}/approve", {"unknown": "1"}).status_code == 400
    assert "open" in words(admin.get(address))


def test_only_admins_decide(sqlite_world: World) -> None:
    """The auditor reads, without buttons; a partner has its own page."""
    world = sqlite_world
    address = ask(world)
    assert "Approve request" not in words(world.visit("auditor").get(address))
    for name in ("auditor", "uncleared"):
        assert world.visit(name).post(f"{address}/approve", {"last_day": "2030-01-01"}).status_code == 403
    assert world.visit("uncleared").get(address).status_code == 403
    assert world.visit("admin").get("/admin/requests/999").status_code == 404
    assert world.visit("admin").post("/admin/requests/999/approve", {"last_day": "2030-01-01"}).status_code == 404
