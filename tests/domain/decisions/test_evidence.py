"""What a decision rested on: as it was when proposed and when it was done, whatever changes later."""

from datetime import timedelta

from server.domain.decisions import deciding, execution
from server.domain.release import stages
from server.domain.release.stages import StageState
from tests.domain.decisions.test_proposing import propose
from tests.world import World


def test_the_ladder_is_kept_as_it_was(world: World) -> None:
    """Two pictures of it, a day apart; a stage that is added after them is in neither."""
    made = propose(world, opens_at=world.clock() + timedelta(days=1))
    deciding.approve(world.use, world.admin2, made.id)
    world.move("gpt-2/1558M", StageState.PARTNERS)
    world.clock.advance(timedelta(days=2))
    (done,) = execution.carry_out_due(world.use)
    stages.add(world.use, world.admin, "gpt-2/9B", tier="research")
    then, at_last = done.rested_on["ladder"], (done.rested_on_when_done or {})["ladder"]
    assert [(one["stage"], one["state"]) for one in then] == [
        ("gpt-2/124M", "public"), ("gpt-2/355M", "public"), ("gpt-2/774M", "partners"), ("gpt-2/1558M", "planned"),
    ]  # fmt: skip
    assert [one["state"] for one in at_last] == ["public", "public", "partners", "partners"]
