"""What forbids a move: each of it named, for moves that give access alone."""

import pytest

from server.domain.decisions import blockers
from server.domain.release import holds, stages
from server.domain.release.stages import StageState
from tests.world import World


def forbids(world: World, to: StageState = StageState.PUBLIC) -> list[str]:
    """What forbids to move gpt-2/774M now."""
    with world.use.database.reading() as session:
        stage = stages.get(session, "gpt-2/774M")
        return blockers.of_move(session, stage, StageState(stage.state), to)


@pytest.mark.parametrize("on", ["gpt-2/774M", "gpt-2", "everything"])
def test_a_hold_forbids_to_open_what_lies_under_it(world: World, on: str) -> None:
    """On the stage, its model or everything; never to take access away."""
    assert forbids(world) == []
    holds.place(world.use, world.admin, on, "Wait.")
    assert forbids(world) == [f"A hold lies on {on}."]
    assert forbids(world, StageState.WITHDRAWN) == []
    holds.lift(world.use, world.admin, on)
    assert forbids(world) == []


def test_a_hold_on_another_stage_forbids_nothing(world: World) -> None:
    """Nor one on another model."""
    for on in ("gpt-2/355M", "mini-gpt"):
        holds.place(world.use, world.admin, on, "Wait.")
    assert forbids(world) == []
