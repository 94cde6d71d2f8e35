"""Races of decisions: whatever forbids or stops one comes before it or after it in the log, and never in between."""

import random
import threading
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest

from server.domain.decisions import deciding, execution
from server.domain.errors import NotPossible
from server.domain.release import decisions, finding_triage, holds
from server.domain.release.findings import FindingState, Severity
from server.domain.release.stages import StageState
from tests.domain.decisions.test_proposing import propose
from tests.faults.rounds import WHOLE, in_rounds
from tests.findings import report
from tests.world import World

STAGE = "gpt-2/774M"
WAIT_SECONDS = 30
Rival = Callable[[World, int, int], Callable[[], object]]


def worker(world: World, _: int, __: int) -> Callable[[], object]:
    """Another worker; it leaves nothing to clear away."""
    execution.carry_out_due(world.use)
    return lambda: None


def cancelling(world: World, decision_id: int, _: int) -> Callable[[], object]:
    """An admin who thinks better of it, perhaps too late."""
    try:
        deciding.cancel(world.use, world.admin2, decision_id)
    except NotPossible as late:
        assert "nothing left to cancel" in late.detail  # noqa: PT017  # one of the two outcomes
    return lambda: None


def reporting(world: World, _: int, turn: int) -> Callable[[], object]:
    """A partner's critical finding, on another stage of the model."""
    number = report(world, stage="gpt-2/355M", severity=Severity.CRITICAL, title=f"Race {turn}")
    return lambda: finding_triage.triage(world.use, world.admin, number, FindingState.NOT_REPRODUCED)


def holding(world: World, _: int, number: int) -> Callable[[], object]:
    """A hold on the stage, its model or everything, in turn."""
    on = (STAGE, "gpt-2", "everything")[number % 3]
    holds.place(world.use, world.admin, on, "A race.")
    return lambda: world.lift(on)


RIVALS: dict[str, tuple[Rival, set[str]]] = {
    "another worker": (worker, {"done"}),
    "a cancel": (cancelling, {"done", "cancelled"}),
    "a critical finding": (reporting, {"done", "blocked"}),
    "a hold": (holding, {"done", "blocked"}),
}


def due(world: World) -> int:
    """An approved decision whose moment has just come."""
    made = propose(world, STAGE, StageState.PUBLIC, opens_at=world.clock() + timedelta(minutes=30))
    deciding.approve(world.use, world.admin2, made.id)
    world.clock.offset += timedelta(minutes=31)  # a partner may report 50 findings a day
    return made.id


def race(world: World, rival: Rival, decision_id: int, number: int, chance: random.Random) -> None:
    """The worker and its rival at the same time, by a hair first one and then the other; clear away what is left."""
    start, failed, left = threading.Barrier(2), list[BaseException](), list[Callable[[], object]]()
    waits = [chance.random() / 100 for _ in range(2)]

    def run(act: Callable[[], object], wait: float) -> None:
        try:
            start.wait(WAIT_SECONDS)
            threading.Event().wait(wait)
            act()
        except BaseException as error:
            failed.append(error)

    acts = (
        lambda: execution.carry_out_due(world.use),
        lambda: left.append(rival(world, decision_id, number)),
    )
    threads = [threading.Thread(target=run, args=pair) for pair in zip(acts, waits, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_SECONDS)
    assert failed == []
    for clear in left:
        clear()


@in_rounds
@pytest.mark.parametrize("name", RIVALS)
def test_a_decision_and_its_rival_have_one_order(world: World, name: str, rounds: int) -> None:
    """Carried out once, or stopped once; the audit finds each to be as the log's order says."""
    rival, expected = RIVALS[name]
    chance, seen = random.Random(name), Counter[str]()  # noqa: S311  # chance, not secrets
    for number in range(rounds):
        decision_id = due(world)
        race(world, rival, decision_id, number, chance)
        with world.use.database.reading() as session:
            state = str(decisions.get(session, world.admin, decision_id).state)
        seen[state] += 1
        if state == "done":
            world.move(STAGE, StageState.PARTNERS)
        world.keep_sealed()
    assert set(seen) == expected or (set(seen) < expected and rounds < WHOLE), seen
    executed = Counter(record["decision"] for record in world.records("decision.execute"))
    assert set(executed.values()) == {1}
    world.check()
