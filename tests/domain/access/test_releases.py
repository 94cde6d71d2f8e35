"""Releases: everything that was told to the public, and nothing else: no plan that is hidden, no name of anybody."""

from datetime import timedelta
from typing import Any

import pytest

from server.domain.access import clearances, releases
from server.domain.access.releases import Release
from server.domain.errors import AuthenticationRequired
from server.domain.release import holds, stage_editing, stages
from server.domain.release.findings import Severity
from server.domain.release.plans import Window
from server.domain.release.stages import StageState
from tests import findings
from tests.world import STRANGER, World, cases


def told(world: World, days_later: int = 0) -> dict[str, Release]:
    with world.use.database.reading() as session:
        found = releases.read(session, world.clock() + timedelta(days=days_later))
    return {f"{family.name}/{stage.name}": stage for family in found for stage in family.stages}


def test_every_stage_that_was_announced_or_released_is_told_in_order(world: World) -> None:
    """Smallest first, each with the decisions that moved it; a plan that is not announced is not there."""
    stages.add(world.use, world.admin, "gpt-2/3B", tier="partner")
    found = told(world)
    gpt2 = ["gpt-2/124M", "gpt-2/355M", "gpt-2/774M", "gpt-2/1558M"]
    assert list(found) == [*gpt2, "mini-gpt/base", "mini-gpt/large"]
    (one,) = found["gpt-2/774M"].decisions
    assert (one.before, one.to) == (StageState.PLANNED, StageState.PARTNERS)
    assert found["gpt-2/1558M"].plan.note == "In a few months; findings from partners could change this."
    stage_editing.edit(world.use, world.admin, "gpt-2/1558M", announced=False)
    assert list(told(world)) == [*gpt2[:3], "mini-gpt/base", "mini-gpt/large"]


def test_partners_are_the_active_organizations_that_are_cleared_now(world: World) -> None:
    """By tier, each once; neither those whose time is over, nor suspended ones, nor the lab itself."""
    assert (told(world)["gpt-2/774M"].partners, told(world)["mini-gpt/large"].partners) == (2, 0)
    assert told(world)["gpt-2/1558M"].partners == 0
    assert told(world, days_later=366)["gpt-2/774M"].partners == 0
    until = world.clock() + timedelta(days=30)
    for organization, tier in (("aurora-institute", "partner"), ("example-lab", "partner")):
        made = clearances.propose(
            world.use, world.admin, organization, "mini-gpt", tier, expires_at=until, purpose="A study."
        )
        assert told(world)["mini-gpt/large"].partners == (organization == "example-lab")
        clearances.approve(world.use, world.admin2, made.id)
    found = told(world)
    assert (found["mini-gpt/base"].partners, found["mini-gpt/large"].partners) == (2, 1)
    holds.place(world.use, world.admin, "organization:aurora-institute", "A leak.")
    found = told(world)
    assert (found["mini-gpt/base"].partners, found["mini-gpt/large"].partners) == (1, 0)


def test_findings_are_counted_and_an_embargo_is_kept(world: World) -> None:
    """Of critical ones those that still forbid a move; one that others may not know of yet is not counted for them."""
    findings.report(world)
    findings.report(world, severity=Severity.CRITICAL, title="A second")
    until = (world.clock() + timedelta(days=7)).date()
    findings.report(world, severity=Severity.CRITICAL, title="A third", embargo_until=until, may_publish=True)
    assert {name: one.open_critical for name, one in told(world).items() if one.open_critical} == {"gpt-2/774M": 1}
    assert told(world, days_later=8)["gpt-2/774M"].open_critical == 2


@cases(("on", "names"), [
    ("gpt-2/774M", {"gpt-2/774M"}),
    ("mini-gpt", {"mini-gpt/base", "mini-gpt/large"}),
    ("everything", {"gpt-2/124M", "gpt-2/355M", "gpt-2/774M", "gpt-2/1558M", "mini-gpt/base", "mini-gpt/large"}),
])  # fmt: skip
def test_a_hold_is_told_since_when_and_not_why(world: World, on: str, names: set[str]) -> None:
    """Whatever it lies on: since then nobody can download; the first of several counts."""
    holds.place(world.use, world.admin, on, "A secret reason.")
    since = {name: one.held_since for name, one in told(world).items() if one.held_since is not None}
    assert since.keys() == names
    if on != "everything":
        holds.place(world.use, world.admin, "everything", "Another reason.")
        assert {name: told(world)[name].held_since for name in names} == since
    assert "secret" not in repr(told(world))


@pytest.mark.parametrize(("steps", "announced", "is_told"), [
    (["withdrawn"], False, False),
    (["withdrawn"], True, True),
    (["partners", "withdrawn"], False, True),
    (["public", "partners", "withdrawn"], False, True),
])  # fmt: skip
def test_a_withdrawn_stage_is_told_if_it_ever_was(
    sqlite_world: World, steps: list[str], announced: bool, is_told: bool
) -> None:
    """With the reason of its withdrawal; a plan that was given up in silence stays the lab's own."""
    world = sqlite_world
    stages.add(world.use, world.admin, "gpt-2/3B", tier="partner", announced=announced)
    for step in steps:
        world.move("gpt-2/3B", step, f"To {step}.")
    found = told(world).get("gpt-2/3B")
    assert (found is not None) == is_told
    if found is not None:
        assert found.decisions[-1].public_reason == "To withdrawn."
        assert [one.to for one in found.decisions] == steps


def test_the_settings_can_close_it_to_strangers(sqlite_world: World) -> None:
    """Whoever is signed in reads it all the same."""
    releases.require_open(sqlite_world.use, STRANGER)
    closed: Any = sqlite_world.use
    closed.settings = sqlite_world.settings.model_copy(update={"public_releases": False})
    with pytest.raises(AuthenticationRequired):
        releases.require_open(closed, STRANGER)
    releases.require_open(closed, sqlite_world.person("uncleared"))


def test_a_planned_window_is_told(sqlite_world: World) -> None:
    """As the lab announced it."""
    window = Window("2031-11", "2032-01")
    stage_editing.edit(sqlite_world.use, sqlite_world.admin, "gpt-2/1558M", planned=window)
    assert told(sqlite_world)["gpt-2/1558M"].plan.window == window
