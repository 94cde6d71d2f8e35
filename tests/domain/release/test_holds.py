"""Holds: one person stops a stage, a model or everything; what was underneath is kept."""

import pytest

from server.domain.downloads import issuing
from server.domain.errors import InvalidRequest, NotFound, NotPermitted, NotPossible, StageHeld
from server.domain.release import holds, stages
from server.domain.release.stages import StageState
from tests.world import World, cases

FROM = {"gpt-2/774M": {"gpt-2/774M"}, "gpt-2": {"gpt-2/774M", "gpt-2/124M"}, "everything": {
    "gpt-2/774M", "gpt-2/124M", "mini-gpt/base"}}  # fmt: skip


def open_stages(world: World) -> set[str]:
    opened = set()
    for stage in ("gpt-2/774M", "gpt-2/124M", "mini-gpt/base"):
        try:
            issuing.issue(world.use, world.caller("cleared"), world.order(stage))
            opened.add(stage)
        except StageHeld:
            pass
    return opened


@cases(("on", "stopped"), FROM.items())
def test_a_hold_stops_what_it_lies_on_and_nothing_else(world: World, on: str, stopped: set[str]) -> None:
    """Lifting it brings back what was open before, and both acts are entries with the reason."""
    everything = FROM["everything"]
    assert open_stages(world) == everything
    holds.place(world.use, world.admin, on, "A finding.")
    assert open_stages(world) == everything - stopped
    world.lift(on)
    assert open_stages(world) == everything
    laid, lifted = world.records("hold.place")[-1], world.records("hold.lift")[-1]
    assert (laid["on"], laid["reason"], laid["actor"]["person"]) == (on, "A finding.", world.admin.person)
    assert (lifted["on"], lifted["actor"]["person"]) == (on, world.admin2.person)


def test_holds_lie_on_each_other_and_each_is_lifted_alone(world: World) -> None:
    """A stage is open again only when nothing lies on it any more."""
    for on in FROM:
        holds.place(world.use, world.admin, on, "A finding.")
    for on in FROM:
        assert "gpt-2/774M" not in open_stages(world)
        world.lift(on)
    assert "gpt-2/774M" in open_stages(world)


@cases("on", FROM)
def test_a_hold_is_laid_once_and_lifted_once(world: World, on: str) -> None:
    """Doing what is done is refused: somebody else may have meant something by it."""
    with pytest.raises(NotPossible):
        world.lift(on)
    holds.place(world.use, world.admin, on, "A finding.")
    with pytest.raises(NotPossible):
        holds.place(world.use, world.admin, on, "Another finding.")
    assert len(world.entries("hold.place")) == 1


def test_a_hold_keeps_the_state_underneath(world: World) -> None:
    """A held stage can be closed meanwhile; lifting shows the state that it has then."""
    holds.place(world.use, world.admin, "gpt-2/124M", "A finding.")
    world.move("gpt-2/124M", StageState.PARTNERS, "Decided meanwhile.")
    assert "gpt-2/124M" not in open_stages(world)
    world.lift("gpt-2/124M")
    with world.use.database.reading() as session:
        assert stages.get(session, "gpt-2/124M").state == StageState.PARTNERS


def test_a_hold_by_alias_is_recorded_under_the_stage_s_own_name(world: World) -> None:
    """Whoever searches the log for a stage finds its holds."""
    holds.place(world.use, world.admin, "gpt-2/762M", "A finding.")
    entry, record = world.entries("hold.place")[-1], world.records("hold.place")[-1]
    assert entry.subject == record["on"] == "gpt-2/774M"


def test_a_hold_lies_on_something_that_is_there_and_has_a_reason(world: World) -> None:
    """A typing error must not look like a stop, and the log keeps why."""
    for on in ("gpt-9", "gpt-2/9B", "", "/", "gpt-2/", "Everything", "762M"):
        with pytest.raises(NotFound):
            holds.place(world.use, world.admin, on, "A finding.")
    for reason in ("", "  ", "x" * 10_001):
        with pytest.raises(InvalidRequest):
            holds.place(world.use, world.admin, "everything", reason)


@pytest.mark.parametrize("by", ["publisher", "auditor", "cleared"])
def test_only_admins_place_holds(sqlite_world: World, by: str) -> None:
    """Stopping is one admin's act, and nobody else's."""
    with pytest.raises(NotPermitted):
        holds.place(sqlite_world.use, sqlite_world.person(by), "everything", "A finding.")


def test_the_holds_that_lie_are_listed_for_staff_with_their_reasons(sqlite_world: World) -> None:
    """The widest first; partners are told elsewhere that one lies, and never why."""
    world = sqlite_world
    for on in ("gpt-2/762M", "mini-gpt", "everything"):
        holds.place(world.use, world.admin, on, f"A finding on {on}.")
    with world.use.database.reading() as session:
        found = holds.current(session, world.person("auditor"))
        assert [hold.on for hold in found] == ["everything", "mini-gpt", "gpt-2/774M"]
        assert [hold.reason for hold in found][2] == "A finding on gpt-2/762M."
        assert holds.current(session, world.person("cleared")) == []
        assert holds.state_of(session, world.admin, "gpt-2/762M") == ("gpt-2/774M", found[2])
        assert holds.state_of(session, world.admin, "gpt-2") == ("gpt-2", None)
        for on in ("gpt-9", "gpt-2/9B", "", "a\0b"):
            with pytest.raises(NotFound):
                holds.state_of(session, world.admin, on)
