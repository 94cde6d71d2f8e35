"""Publishing while the stage is put on hold: the checkpoint is whole, and nobody has it before the hold is lifted."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.domain.downloads import cutting, issuing
from server.domain.errors import StageHeld
from server.domain.release import holds
from server.domain.resources import Resources
from server.storage import probes
from tests.domain.publish.folders import put
from tests.faults.rounds import in_rounds
from tests.faults.test_hold_races import at_once
from tests.faults.test_hold_races import second_process as second_process
from tests.world import World

STAGE = "gpt-2/774M"


@pytest.fixture
def cutting_world(world: World) -> Iterator[World]:
    """A world whose store, which others share, has no policy before and after."""
    world.use.bucket_policy.deny_signed([])
    yield world
    world.use.bucket_policy.deny_signed([])


def hold(world: World, use: Resources) -> None:
    holds.place(use, world.admin, STAGE, "A race.", cut_issued=True)
    cutting.carry_out(use)


@in_rounds
def test_a_hold_meets_a_checkpoint_that_is_published(
    cutting_world: World, second_process: Resources, tmp_path: Path, rounds: int
) -> None:
    """Uploaded, proposed, approved; held and cut; and asked for, all at once. Then `main` is what was approved."""
    world, partner, seen = cutting_world, cutting_world.caller("cleared"), Counter[str]()
    for turn in range(rounds):
        folder, before = put(tmp_path / str(turn), {"a.txt": b"%d" % turn}), len(world.entries("checkpoint.publish"))
        _, _, issued = at_once(
            lambda: world.publish(folder, STAGE),  # noqa: B023  # they end within the round
            lambda: hold(world, second_process),
            lambda: issuing.issue(world.use, partner, world.order(STAGE)),
        )
        seen["issued" if issued else "held"] += 1
        kinds = [entry.kind for entry in world.entries()]
        if issued:
            assert "download" in kinds[: len(kinds) - 1 - kinds[::-1].index("hold.place")]
        with pytest.raises(StageHeld):
            issuing.issue(world.use, partner, world.order(STAGE))
        *_, published = world.records("checkpoint.publish")
        assert len(world.entries("checkpoint.publish")) == before + 1
        world.lift(STAGE)
        cutting.carry_out(world.use)
        download = issuing.issue(world.use, partner, world.order(STAGE))
        assert world.records("download")[-1]["checkpoint"] == published["checkpoint"]
        assert {probes.status_of(url) for url in download.urls} == {200}
        world.keep_sealed()
    world.use.watched.urls += second_process.watched.urls  # type: ignore[attr-defined]
    print(f"{world.kind}: {rounds} rounds, {dict(seen)}")
