"""Races about holds: with a decision that is carried out, with another who lifts, and with whoever places it again."""

import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from server.cli import worked_example
from server.domain.decisions import deciding, execution, lifting, proposing
from server.domain.decisions.proposing import Proposal
from server.domain.errors import Refused
from server.domain.release import holds, stages
from server.domain.release.stages import StageState
from server.domain.resources import Resources
from tests.faults.rounds import in_rounds
from tests.world import WatchedResources, World

STAGE = "gpt-2/774M"
APART_MS = 20  # at most: longer than one of the acts takes
SOON = timedelta(seconds=10)


@pytest.fixture
def second_process(world: World) -> Iterator[Resources]:
    """Resources as another process on the same database would have them: nothing shared in memory."""
    use = WatchedResources(world.settings, world.clock)
    yield use
    use.close()


def at_once(*acts: Callable[[], object]) -> list[bool]:
    """Start all together, or nearly; return for each whether it was done, or refused."""

    def done(act: Callable[[], object]) -> bool:
        time.sleep(secrets.randbelow(APART_MS) / 1000)  # on a quiet machine, the quicker one would win every time
        try:
            act()
        except Refused:
            return False
        return True

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(done, acts))


def is_held(world: World, on: str) -> bool:
    with world.use.database.reading() as session:
        return holds.find(session, on)[1].held_at is not None


def state_of(world: World, stage: str) -> str:
    with world.use.database.reading() as session:
        return str(stages.get(session, stage).state)


@in_rounds
def test_a_hold_meets_a_decision_that_is_carried_out(world: World, second_process: Resources, rounds: int) -> None:
    """The log's order decides: a move after the hold is blocked, one before it is done; the audit finds no other."""
    outcomes = Counter[str]()
    for number in range(rounds):
        proposal = Proposal(StageState.PUBLIC, "A race.", "Nothing.", "A race.", opens_at=world.clock() + SOON)
        made = proposing.propose(world.use, world.admin, STAGE, proposal)
        deciding.approve(world.use, world.admin2, made.id)
        world.clock.offset += 2 * SOON
        where = (STAGE, "gpt-2", "everything")[number % 3]
        placed, _ = at_once(
            lambda on=where: holds.place(world.use, world.admin, on, "A race."),  # type: ignore[misc]
            lambda: execution.carry_out_due(second_process),
        )
        assert placed
        execution.carry_out_due(world.use)
        is_open = state_of(world, STAGE) == StageState.PUBLIC
        outcomes["done" if is_open else "blocked"] += 1
        world.lift(where)
        if is_open:
            worked_example.move(world.use, world.admin, world.admin2, STAGE, StageState.PARTNERS, "Back.")
        world.keep_sealed()
    print(f"{world.kind}: {rounds} rounds, {dict(outcomes)}")
    assert sum(outcomes.values()) == rounds


@in_rounds
def test_two_who_approve_a_lift_at_once(world: World, second_process: Resources, rounds: int) -> None:
    """One of them does, in each round; the entries name one approver for each lift."""
    for _ in range(rounds):
        holds.place(world.use, world.admin, STAGE, "A race.")
        lifting.propose(world.use, world.admin, STAGE, "A race.")
        approved = at_once(
            lambda: lifting.approve(world.use, world.admin2, STAGE),
            lambda: lifting.approve(second_process, world.admin2, STAGE),
        )
        assert sorted(approved) == [False, True]
        world.keep_sealed()
    assert len(world.entries("hold.lift")) == rounds


@in_rounds
def test_a_lift_meets_a_hold_that_is_placed_again(world: World, second_process: Resources, rounds: int) -> None:
    """Whoever comes last in the log has it: what was approved for the hold before never lifts the one after."""
    outcomes = Counter[str]()
    for _ in range(rounds):
        if not is_held(world, STAGE):
            holds.place(world.use, world.admin, STAGE, "A race.")
        lifting.propose(world.use, world.admin, STAGE, "A race.")
        lifted, placed = at_once(
            lambda: lifting.approve(world.use, world.admin2, STAGE),
            lambda: holds.place(second_process, world.admin, STAGE, "Again."),
        )
        assert lifted
        assert is_held(world, STAGE) == placed
        outcomes["placed again" if placed else "was still held"] += 1
        world.keep_sealed()
    print(f"{world.kind}: {rounds} rounds, {dict(outcomes)}")
