"""The ladder: one value says what a caller is shown of a stage, and the API, the pages and the command line show it."""

import re
from typing import Any

import pytest

from server.domain.access import access_requests, ladder
from server.domain.access.ladder import NextStep, Step
from server.domain.callers import Caller
from server.domain.errors import AgreementUnsigned, NotCleared
from server.domain.identity import people
from server.domain.paging import Slice
from server.domain.permissions import Role
from server.domain.release import holds
from tests.cli.operator import Operator
from tests.visits import Visit
from tests.world import STRANGER, World, cases

# Where the one next step leads.
LEADS_TO = {
    NextStep.REQUEST: "/requests/new?", NextStep.REQUEST_AGAIN: "/requests/new?", NextStep.AWAIT_DECISION: "/requests",
    NextStep.SIGN: "/agreements/model-sharing", NextStep.SIGN_AGAIN: "/agreements/model-sharing",
    NextStep.ASK_OWNER: "/people",
}  # fmt: skip


def steps(world: World, caller: Caller) -> dict[str, Step]:
    """The value that every door shows."""
    with world.use.database.reading() as session:
        found = ladder.listed(session, world.use, caller, Slice(100)).items
        for one in found:
            assert repr(ladder.step(session, world.use, caller, one.full_name)) == repr(one)
        in_order = [one for model in ladder.ladders(session, world.use, caller) for one in model.steps]
    assert sorted(map(repr, in_order)) == sorted(map(repr, found))
    return {one.full_name: one for one in found}


def from_api(item: dict[str, Any]) -> tuple[Any, ...]:
    code = None if item["refusal"] is None else item["refusal"]["code"]
    return (
        item["state"], item["plan"], item["ordinal"], item["parameters"], item["held"], item["tier"], item["agreement"],
        item["may_download"], code, [(task["task"], task["by"], task["progress"]) for task in item["tasks"]],
    )  # fmt: skip


def expected(one: Step) -> tuple[Any, ...]:
    stage, code = one.stage, None if one.refused is None else one.refused.code
    return (
        stage.state, stage.plan.note, stage.ordinal, stage.parameters, stage.held, stage.tier, stage.agreement,
        one.refused is None, code, [(item.task, item.whose, item.progress) for item in one.checklist],
    )  # fmt: skip


def cards(visit: Visit) -> dict[str, str]:
    """The home page's cards, by the stage that each leads to."""
    found = re.findall(r'<li class="rung .*?</li>', visit.get("/").text, re.DOTALL)
    return {re.findall(r'<h3><a href="/stages/([^"]+)"', card)[0]: card for card in found}


def require_shown(card: str, one: Step) -> None:
    """The card says of the stage what the value says, and leads where its next step leads."""
    shape = "held" if one.stage.held else str(one.stage.state)
    assert f"rung-{shape}" in card
    assert ("is-open" in card) == (one.refused is None)
    assert ("parameters" in card) == (one.stage.parameters is not None)
    buttons = re.findall(r'<a class="button[^"]*" href="([^"]+)"', card)
    if one.refused is None:
        assert buttons == [f"/stages/{one.full_name}/main"]
    elif one.next_step in LEADS_TO:
        assert buttons[0].startswith(LEADS_TO[one.next_step])
    else:
        assert buttons == []


@cases("name", ["cleared", "unsigned", "uncleared", "admin", None])
def test_every_door_shows_the_same_value(
    world: World, name: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """API, home page, the lab's list and command line, for each kind of caller, with a hold and a plan among them."""
    holds.place(world.use, world.admin, "gpt-2/355M", "A finding.")
    known = steps(world, STRANGER if name is None else world.caller(name))
    items = {item["name"]: item for item in world.api("GET", "/stages", name).json["items"]}
    assert {key: from_api(item) for key, item in items.items()} == {key: expected(one) for key, one in known.items()}
    assert [key for key, one in known.items() if one.stage.held] == ["gpt-2/355M"]
    shown = cards(world.visit(name))
    assert shown.keys() == known.keys()
    for key, one in known.items():
        require_shown(shown[key], one)
        assert from_api(world.api("GET", f"/stages/{key}", name).json) == expected(one)
    if name == "admin":
        page = world.visit(name).get("/admin/stages").text
        assert page.count("badge state state-held") == 1
    if name is not None:
        operator = Operator(world.folder, monkeypatch, capsys).knows(world)
        rows = {row["stage"]: row for row in operator("stage", "list", "--json", by=name).body}
        assert rows == {key: as_row(one) for key, one in known.items()}


def as_row(one: Step) -> dict[str, Any]:
    stage = one.stage
    return {
        "stage": stage.full_name, "state": stage.state, "held": stage.held, "tier": stage.tier,
        "agreement": stage.agreement, "plan": stage.plan.note,
    }  # fmt: skip


@pytest.mark.parametrize("name", ["cleared", "admin", None])
def test_of_a_plan_only_the_lab_is_shown_more_than_name_and_plan(sqlite_world: World, name: str | None) -> None:
    """What is not theirs to know is not in the value: no door has to remember to leave it out."""
    known = steps(sqlite_world, STRANGER if name is None else sqlite_world.person(name))
    plan = known.get("gpt-2/1558M")
    if name is None:
        assert plan is None
        return
    assert plan is not None
    stage = plan.stage
    told = {stage.ordinal, stage.parameters, stage.state_since, stage.held, stage.tier, stage.agreement} != {None}
    assert told == plan.shown == (name == "admin")
    assert stage.plan.note


def test_the_next_step_is_a_value_of_its_own(sqlite_world: World) -> None:
    """Whoever lacks a clearance asks; who asked waits; who lacks a signature signs, or has an owner sign."""
    world = sqlite_world
    uncleared, unsigned = world.person("uncleared"), world.person("unsigned")
    before = steps(world, uncleared)["gpt-2/774M"]
    assert (type(before.refused), before.next_step, before.request_id) == (NotCleared, NextStep.REQUEST, None)
    until = world.clock() + ladder.ENDS_SOON
    request = access_requests.create(world.use, uncleared, "gpt-2", "research", purpose="Study.", wanted_until=until)
    after = steps(world, uncleared)["gpt-2/774M"]
    assert (after.next_step, after.request_id) == (NextStep.AWAIT_DECISION, request.id)
    assert steps(world, uncleared)["mini-gpt/base"].next_step is NextStep.REQUEST
    missing = steps(world, unsigned)["gpt-2/774M"]
    assert (type(missing.refused), missing.next_step, missing.version) == (AgreementUnsigned, NextStep.SIGN, 1)
    email = f"member@{unsigned.organization}.example"
    people.add(world.use, unsigned, str(unsigned.organization), email, "Member", Role.MEMBER, "a long enough password")
    assert steps(world, world.person_of(email))["gpt-2/774M"].next_step is NextStep.ASK_OWNER
    assert steps(world, world.admin)["gpt-2/774M"].next_step is None
