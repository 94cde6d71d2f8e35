"""Which checkpoint is `main`: changed by an act of its own, which the log keeps; publishing says first what it does."""

from pathlib import Path

import pytest

from server.domain.errors import NotFound, NotPermitted, NotPossible
from server.domain.publish import main_checkpoint
from server.domain.release import stages
from server.domain.release.stages import StageState
from tests.domain.publish.folders import put
from tests.world import World

OPEN = "gpt-2/774M"
PLANNED = "gpt-2/1558M"


def publish(world: World, folder: Path, name: str, stage: str, tell: list[str] | None = None) -> str:
    """Publish a folder of one file that says its name; return the checkpoint's id."""
    put(folder / name, {"a.txt": name.encode()})
    told = [] if tell is None else tell
    done = world.publish(folder / name, stage, tell=told.append)
    return done.checkpoint_id


def main_of(world: World, stage: str) -> str:
    shown: str = world.api("GET", f"/stages/{stage}/checkpoints/main", "publisher").json["id"]
    return shown


def test_a_set_published_before_becomes_main_again_by_an_act_of_its_own(world: World, tmp_path: Path) -> None:
    """Publishing A, B and A again says that B is `main`, and how A becomes it; that act is in the log."""
    first, second = publish(world, tmp_path, "a", PLANNED), publish(world, tmp_path, "b", PLANNED)
    with pytest.raises(NotPossible) as refused:
        publish(world, tmp_path, "a", PLANNED)
    assert refused.value.detail.endswith(f"published as checkpoint {first} of {PLANNED}; its `main` is {second}.")
    assert refused.value.next_step == f"`checkpoint set-main {PLANNED} {first}` makes it `main` again."
    done = main_checkpoint.set_main(world.use, world.person("publisher"), PLANNED, first)
    assert (done.stage, done.checkpoint_id, done.before) == (PLANNED, first, second)
    assert main_of(world, PLANNED) == first
    record = world.records("checkpoint.set_main")[-1]
    assert (record["stage"], record["checkpoint"], record["before"]) == (PLANNED, first, second)
    with pytest.raises(NotPossible, match=f"{first} of {PLANNED}, and its `main`"):
        publish(world, tmp_path, "a", PLANNED)
    world.check()


def test_what_is_main_already_or_not_there_or_withdrawn_is_refused(world: World, tmp_path: Path) -> None:
    """Nothing is written then: another stage's checkpoint is not there either."""
    mine, other = publish(world, tmp_path, "a", PLANNED), main_of(world, OPEN)
    for name in (mine, "main"):
        with pytest.raises(NotPossible, match="already"):
            main_checkpoint.set_main(world.use, world.admin, PLANNED, name)
    for name in (other, "0" * 40, "../x"):
        with pytest.raises(NotFound):
            main_checkpoint.set_main(world.use, world.admin, PLANNED, name)
    publish(world, tmp_path, "b", PLANNED)
    world.move(PLANNED, StageState.WITHDRAWN, "Never.")
    with pytest.raises(NotPossible, match="is withdrawn"):
        main_checkpoint.set_main(world.use, world.admin, PLANNED, mine)
    assert world.records("checkpoint.set_main") == []


def test_an_open_stage_s_main_is_an_admin_s_to_change(world: World, tmp_path: Path) -> None:
    """Partners would get other weights from one moment to the next; others of the lab may not at all."""
    before = main_of(world, OPEN)
    publish(world, tmp_path, "a", OPEN)
    for who in ("publisher", "auditor", "cleared"):
        with pytest.raises(NotPermitted):
            main_checkpoint.set_main(world.use, world.person(who), OPEN, before)
    main_checkpoint.set_main(world.use, world.admin, OPEN, before)
    assert main_of(world, OPEN) == before


def test_publishing_says_first_what_an_alias_means_and_whom_it_reaches(world: World, tmp_path: Path) -> None:
    """A planned stage reaches nobody, so nothing is said."""
    stages.add_alias(world.use, world.admin, OPEN, "762")
    before, told = main_of(world, OPEN), list[str]()
    publish(world, tmp_path, "a", "gpt-2/762", told)
    assert told == [
        f"gpt-2/762 is an alias: this publishes to {OPEN}",
        (
            f"{OPEN} is available to cleared partners: once uploaded, this waits for another person's approval, and "
            f"then becomes its `main`, in place of {before}"
        ),
    ]
    told.clear()
    publish(world, tmp_path, "a", PLANNED, told)
    assert told == []
