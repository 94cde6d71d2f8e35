"""Tiers: the list says how many people a clearance takes, and one more is added below it."""

from tests.visits import words
from tests.world import World


def test_a_tier_is_added_between_two_others(sqlite_world: World) -> None:
    """The highest stands first, each with how many admins it takes."""
    admin = sqlite_world.visit("admin")
    assert admin.post("/admin/tiers", {"name": "visitor", "rank": "15"}).status_code == 303
    page = words(admin.get("/admin/tiers"))
    rows = ("partner 30 two admins", "research 20 two admins", "visitor 15 one admin", "registered 10 one admin")
    told = (f"{row} request Require a report to renew {row.partition(' ')[0]}" for row in rows)
    assert " ".join(told) in page


def test_what_renewing_takes_is_changed_with_a_button(sqlite_world: World) -> None:
    """There and back; pressed twice, the second is refused with the reason, and nobody but an admin has it."""
    admin, address = sqlite_world.visit("admin"), "/admin/tiers/research/renewing"
    assert admin.post(address, {"report": "yes"}).status_code == 303
    assert "research 20 two admins report, then request Require no report" in words(admin.get("/admin/tiers"))
    again = admin.post(address, {"report": "yes"})
    assert again.status_code == 409
    assert "already takes a report" in words(again)
    assert admin.post(address, {"report": "maybe"}).status_code == 422
    assert admin.post(address, {"report": "no"}).status_code == 303
    assert admin.post("/admin/tiers/nothing/renewing", {"report": "yes"}).status_code == 404
    assert "Require a report" not in words(sqlite_world.visit("auditor").get("/admin/tiers"))
    made = {"name": "close", "rank": "25", "report_to_renew": "y"}
    assert admin.post("/admin/tiers", made).status_code == 303
    assert "close 25 two admins report" in words(admin.get("/admin/tiers"))


def test_a_refused_tier_keeps_what_was_typed(sqlite_world: World) -> None:
    """A rank that is taken, a number that is none, a name that is none."""
    admin = sqlite_world.visit("admin")
    for fields, status in (
        ({"name": "other", "rank": "20"}, 409), ({"name": "other", "rank": "high"}, 422),
        ({"name": "Other Name", "rank": "5"}, 422), ({"name": "other", "rank": "-1"}, 422), ({}, 422),
    ):  # fmt: skip
        answer = admin.post("/admin/tiers", fields)
        assert answer.status_code == status, fields
        assert fields.get("name", "") in answer.text
        assert f'value="{fields.get("rank", "")}"' in answer.text
    assert sqlite_world.visit("auditor").post("/admin/tiers", {"name": "x", "rank": "1"}).status_code == 403
