"""Editing a stage on its page: the plan and the minimum of reports at any time, the rest only while it is planned."""

from server.domain.release.stages import StageState
from tests.visits import fields_of, words
from tests.world import World

PLANNED = "/admin/stages/gpt-2/1558M"
WHOLE = {
    "announced": "y", "planned_from": "2031-11", "planned_until": "2032-01", "note": "In spring.", "ordinal": "9",
    "reports_at_least": "2", "tier": "partner", "agreement": "",
}  # fmt: skip


def test_a_planned_stage_is_changed_whole(sqlite_world: World) -> None:
    """The form holds what is; what is sent is what then is, in one entry."""
    admin = sqlite_world.visit("admin")
    held = fields_of(admin.get(f"{PLANNED}/edit"))
    assert (held["ordinal"], held["tier"], held["agreement"]) == (["4"], ["research"], ["model-sharing"])
    assert admin.post(f"{PLANNED}/edit", WHOLE).status_code == 303
    page = words(admin.get(PLANNED))
    assert "Position on the ladder 9 Parameters 1 557 611 200 Tier partner Agreement none" in page.replace(
        "\u202f", " "
    )
    assert "Planned for November 2031 to January 2032 Public note In spring." in page
    assert len(sqlite_world.entries("stage.edit")) == 1
    held = fields_of(admin.get(f"{PLANNED}/edit"))
    assert {name: held[name] for name in WHOLE} == {name: [value] for name, value in WHOLE.items()}
    assert "Planned for November 2031 to January 2032" in words(
        sqlite_world.visit("cleared").get("/stages/gpt-2/1558M")
    )


def test_a_refused_edit_keeps_what_was_typed(sqlite_world: World) -> None:
    """A window that ends before it begins, a month that is none, a place that is taken; a field that was not sent."""
    admin = sqlite_world.visit("admin")
    for fault, status in (
        ({"planned_until": "2031-10"}, 422), ({"planned_from": "spring"}, 422), ({"ordinal": "1"}, 409),
        ({"tier": "royal"}, 422), ({"note": "x" * 501}, 422), ({"reports_at_least": "-1"}, 422),
        ({"reports_at_least": ""}, 422),
    ):  # fmt: skip
        answer = admin.post(f"{PLANNED}/edit", WHOLE | fault)
        assert answer.status_code == status, fault
        assert fields_of(answer)["planned_from"] == [(WHOLE | fault)["planned_from"]]
    without = {name: value for name, value in WHOLE.items() if name != "note"}
    assert admin.post(f"{PLANNED}/edit", without).status_code == 422
    assert sqlite_world.entries("stage.edit") == []


def test_of_a_released_stage_only_the_plan_is_offered(sqlite_world: World) -> None:
    """And how many reports it needs to become public; a form that was opened while it was planned is told why not."""
    world, admin = sqlite_world, sqlite_world.visit("admin")
    world.move("gpt-2/1558M", StageState.PARTNERS)
    page = admin.get(f"{PLANNED}/edit")
    assert fields_of(page).keys() & WHOLE.keys() == {
        "planned_from", "planned_until", "note", "announced", "reports_at_least",
    }  # fmt: skip
    assert "were fixed when it was released" in words(page)
    late = admin.post(f"{PLANNED}/edit", WHOLE)
    assert late.status_code == 409
    assert "its agreement and ordinal and tier cannot be changed" in words(late)
    plan = {"announced": "y", "planned_from": "2031-11", "planned_until": "", "note": "", "reports_at_least": "3"}
    assert admin.post(f"{PLANNED}/edit", plan).status_code == 303
    assert "Public release planned for November 2031" in words(admin.get(PLANNED))


def test_an_alias_leads_to_the_form_of_the_stage(sqlite_world: World) -> None:
    """What is edited under another name is the same stage."""
    admin = sqlite_world.visit("admin")
    assert admin.post("/admin/stages/gpt-2/1542M/edit", WHOLE).headers["Location"] == PLANNED
