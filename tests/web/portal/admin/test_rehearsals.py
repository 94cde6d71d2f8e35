"""Rehearsals: the page that says what a clearance would open, and the same before one is proposed."""

from datetime import timedelta

import pytest

from tests.visits import words
from tests.world import World

ASKED = "/admin/clearances/rehearse?organization=aurora-institute&model=mini-gpt&tier=partner&last_day=2030-01-31"


@pytest.mark.parametrize("name", ["admin", "auditor"])
def test_it_says_what_would_open(sqlite_world: World, name: str) -> None:
    """For how many people and until when; only an admin is led on to propose it."""
    shown = sqlite_world.visit(name).get(ASKED)
    text = words(shown)
    assert "Opens mini-gpt/large." in text
    assert "31 January 2030" in text
    assert ("Propose this clearance" in text) == (name == "admin")


def test_the_question_says_what_is_wrong_with_it(sqlite_world: World) -> None:
    """Each part; asked of nothing, the page is a form."""
    there = sqlite_world.visit("auditor")
    assert there.get("/admin/clearances/rehearse").status_code == 200
    for wrong in (
        ("aurora-institute", "nobody"), ("=mini-gpt", "=nothing"), ("=partner", "=nothing"), ("2030-01-31", "soon"),
        ("2030-01-31", "2019-01-31"), ("2030-01-31", "9999-12-31"),
    ):  # fmt: skip
        assert there.get(ASKED.replace(*wrong)).status_code == 422, wrong
    assert sqlite_world.visit("publisher").get(ASKED).status_code == 403


def test_a_proposal_can_be_tried_before_it_is_sent(sqlite_world: World) -> None:
    """Nothing is proposed, and what was typed stays; the page that led there has filled in what it knows."""
    world = sqlite_world
    there = world.visit("admin")
    form = there.get(ASKED.replace("rehearse", "propose")).text
    assert 'value="2030-01-31"' in form
    last = f"{world.clock() + timedelta(days=30):%Y-%m-%d}"
    typed = {
        "organization": "aurora-institute", "model": "mini-gpt", "tier": "partner", "last_day": last,
        "purpose": "A second study.", "act": "rehearse",
    }  # fmt: skip
    before = len(world.records("clearance.propose"))
    shown = there.post("/admin/clearances/propose", typed)
    assert shown.status_code == 200
    assert "Opens mini-gpt/large." in words(shown)
    assert "A second study." in shown.text
    assert len(world.records("clearance.propose")) == before
    assert there.post("/admin/clearances/propose", typed | {"act": "nothing"}).status_code == 422
    assert there.post("/admin/clearances/propose", typed | {"act": "propose"}).status_code == 303
    assert len(world.records("clearance.propose")) == before + 1
