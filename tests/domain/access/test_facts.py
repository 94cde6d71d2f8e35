"""The facts: read for one stage or for many, they are the same."""

from datetime import timedelta
from typing import Any

import pytest

from server.domain.access import clearances, facts, signatures
from server.domain.access.facts import Facts, Listed, StageFacts
from server.domain.paging import Slice
from server.domain.release import agreements, holds, stages
from server.domain.release.stages import StageState
from tests.world import STRANGER, World


def live(world: World) -> None:
    """A little of everything: a second agreement, ended and outdated signatures, clearances of every state, a hold."""
    use, admin = world.use, world.admin
    agreements.publish(use, admin, "second", "Second. Another text.")
    stages.add(use, admin, "mini-gpt/second", tier="registered", agreement="second")
    stages.add(use, admin, "mini-gpt/free", tier="registered")
    for name in ("mini-gpt/second", "mini-gpt/free"):
        world.move(name, StageState.PARTNERS, "Ready.")
    for model, tier in (("mini-gpt", "registered"), ("gpt-2", "research")):
        clearances.propose(
            use, admin, "aurora-institute", model, tier, expires_at=world.clock() + timedelta(days=9), purpose="Study."
        )
    clearances.revoke(use, admin, 2)
    signatures.end(use, admin, 1)
    agreements.publish(use, admin, "model-sharing", "Model sharing. A new text.")
    holds.place(use, admin, "gpt-2", "A finding.")


def as_sets(found: Facts) -> Any:
    """Rows come in no order."""
    rows = found.stage, found.standing, found.agreement
    return found.caller, rows, sorted(map(repr, found.clearances)), sorted(map(repr, found.signatures))


@pytest.mark.parametrize("name", ["cleared", "unsigned", "uncleared", "admin", None])
def test_many_stages_have_the_facts_that_each_has_alone(world: World, name: str | None) -> None:
    """A list can say nothing else than the page of one stage, by which it is issued."""
    live(world)
    callers = [STRANGER] if name is None else [world.caller(name), world.person(name)]
    with world.use.database.reading() as session:
        listed = facts.list_stages(session, Slice(100), Listed.ALL).items
        found = [facts.find_stage(session, f"{stage.model}/{stage.name}") for stage in listed]
        together = [as_sets(one) for caller in callers for one in facts.gather_all(session, caller, listed)]
        alone = [as_sets(facts.gather(session, caller, stage)) for caller in callers for stage in listed]
    assert found == listed
    assert together == alone
    assert {stage.state for stage in listed} == {StageState.PLANNED, StageState.PARTNERS, StageState.PUBLIC}
    if name == "cleared":
        assert any(clearances for _, _, clearances, _ in together)
        assert any(signatures for _, _, _, signatures in together)


def test_a_list_is_cut_where_it_is_asked_to_be(world: World) -> None:
    """In parts it holds every stage once, in the order in which they were added."""
    with world.use.database.reading() as session:
        whole = facts.list_stages(session, Slice(100), Listed.ALL)
        parts: list[StageFacts] = []
        after = None
        for _ in range(3):
            part = facts.list_stages(session, Slice(2, after), Listed.ALL)
            parts += part.items
            after = part.next_after
    assert [stage.id for stage in parts] == sorted(stage.id for stage in whole.items)
    assert len(parts) == 6
    assert (after, whole.next_after) == (None, None)
