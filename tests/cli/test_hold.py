"""`hold`: place, cut, list, show, propose and approve a lift."""

import pytest

from server.domain.release import cuts
from tests.cli.operator import Operator
from tests.world import World

ORDER = {"stage": "gpt-2/774M"}


@pytest.mark.parametrize("on", ["gpt-2/774M", "gpt-2", "everything"])
def test_a_hold_stops_the_next_request_until_two_lift_it(operator: Operator, sqlite_world: World, on: str) -> None:
    """A hold at each height stops issuing; one admin proposes to lift it, another approves, and issuing goes on."""
    world = sqlite_world
    assert "for up to 300 seconds" in operator("hold", "place", on, "--reason", "A finding.", by="admin").out
    assert world.api("POST", "/downloads", json=ORDER).json["code"] == "stage_held"
    proposed = operator("hold", "propose-lift", on, "--reason", "Not reproduced.", "--json", by="admin").body
    assert (proposed["state"], proposed["on"]) == ("proposed", on)
    assert "You proposed this yourself" in operator("hold", "approve-lift", on, by="admin", code=1).line
    assert world.api("POST", "/downloads", json=ORDER).json["code"] == "stage_held"
    done = operator("hold", "approve-lift", on, "--json", by="admin2").body
    assert done == {"id": proposed["id"], "state": "done", "on": on}
    assert world.api("POST", "/downloads", json=ORDER).status_code == 201


def test_an_organization_is_suspended_and_resumed_as_a_hold(operator: Operator, sqlite_world: World) -> None:
    """The command of before does the same; ending it is proposed, and approved by another."""
    world, on = sqlite_world, "organization:aurora-institute"
    operator("organization", "suspend", "aurora-institute", "--reason", "A leak.", by="admin")
    assert world.api("POST", "/downloads", json=ORDER).json["code"] == "organization_suspended"
    listed = operator("hold", "list", "--json", by="auditor").body
    assert [(one["on"], one["reason"], one["cut"]) for one in listed] == [(on, "A leak.", None)]
    made = operator("organization", "resume", "aurora-institute", "--reason", "Explained.", "--json", by="admin").body
    assert (made["state"], made["on"]) == ("proposed", on)
    operator("hold", "approve-lift", on, by="admin2")
    assert world.api("POST", "/downloads", json=ORDER).status_code == 201


def test_a_cut_tells_how_long_the_urls_lived(operator: Operator, sqlite_world: World) -> None:
    """The way and the milliseconds, for people and scripts; `show` keeps them."""
    world = sqlite_world
    body = operator("hold", "place", "gpt-2", "--reason", "A leak.", "--cut-issued", "--json", by="admin").body
    assert (body["held"], body["way"], body["told"]) == (True, "policy", None)
    assert body["milliseconds"] > 0
    shown = operator("hold", "show", "gpt-2", "--json", by="admin2").body
    assert (shown["cut"], shown["milliseconds"]) == ("done", body["milliseconds"])
    assert "already been cut" in operator("hold", "cut", "gpt-2", by="admin", code=1).line
    world.lift("gpt-2")
    operator("hold", "place", "gpt-2", "--reason", "A question.", by="admin")
    said = operator("hold", "cut", "gpt-2", by="admin").out
    assert "Issued URLs failed at the store after" in said
    assert "go on to their end" in said
    operator("hold", "propose-lift", "gpt-2", "--reason", "Answered.", by="admin")
    operator("hold", "approve-lift", "gpt-2", by="admin2")
    assert not world.use.bucket_policy.deny_signed([])


def test_a_cut_that_cannot_be_told_is_exit_3(operator: Operator, sqlite_world: World) -> None:
    """The hold stands, and the sentence says until when URLs may still work."""
    on = "organization:birch-university"
    answer = operator("hold", "place", on, "--reason", "A leak.", "--cut-issued", by="admin", code=3)
    assert "Issued URLs may still work until" in answer.out
    assert "another signer key" in answer.out
    with sqlite_world.use.database.reading() as session:
        assert cuts.all_of(session, [on])[on].state == "failed"
    assert operator("hold", "show", on, "--json", by="admin").body["cut"] == "failed"


def test_a_hold_on_nothing_is_refused(operator: Operator) -> None:
    """A misspelled stage is not silently held: the operator must know that nothing is stopped."""
    for on, why in (("gpt-2/775M", "no stage gpt-2/775M"), ("organization:nobody", "no organization nobody")):
        assert why in operator("hold", "place", on, "--reason", "x", by="admin", code=1).line
    assert "not on hold" in operator("hold", "show", "gpt-2", by="admin", code=1).line
