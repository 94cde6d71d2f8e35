"""Decisions as rows: staff read all of them, everybody else the public part of those that were carried out."""

import pytest

from server.domain.decisions import deciding
from server.domain.errors import NotFound, NotPermitted
from server.domain.paging import Slice
from server.domain.release import decisions, stages
from server.domain.release.decisions import DecisionFilter, DecisionState, PublicDecision
from server.domain.release.stages import StageState
from tests.domain.decisions.test_proposing import propose
from tests.world import World


def test_staff_read_them_newest_first_by_stage_and_state(world: World) -> None:
    """By an alias as well; each with the names of those who made it."""
    made = propose(world)
    with world.use.database.reading() as session:
        caller = world.person("auditor")
        everything = decisions.listed(session, caller, DecisionFilter(), Slice(100)).items
        assert everything[0].id == made.id
        of_stage = decisions.listed(session, caller, DecisionFilter(stage="gpt-2/762M"), Slice(100)).items
        assert {one.subject for one in of_stage} == {"gpt-2/774M"}
        waiting = DecisionFilter(state=DecisionState.PROPOSED)
        assert [one.id for one in decisions.listed(session, caller, waiting, Slice(100)).items] == [made.id]
        assert decisions.get(session, caller, made.id).proposer.email == world.admin.person
        with pytest.raises(NotFound):
            decisions.get(session, caller, 4711)


def test_partners_read_none(world: World) -> None:
    """Rationales and findings are the lab's."""
    with world.use.database.reading() as session:
        for act in (
            lambda: decisions.get(session, world.person("cleared"), 1),
            lambda: decisions.listed(session, world.person("cleared"), DecisionFilter(), Slice(1)),
        ):
            with pytest.raises(NotPermitted):
                act()


def test_everybody_may_know_of_a_move_that_happened_what_is_public(world: World) -> None:
    """From, to, when and the public reason, oldest first; nothing of one that waits, was rejected or blocked."""
    first = world.move("gpt-2/774M", StageState.PUBLIC, "No harm was seen.")
    deciding.reject(world.use, world.admin2, propose(world, to=StageState.PARTNERS).id)
    propose(world, to=StageState.WITHDRAWN)
    with world.use.database.reading() as session:
        stage = stages.get(session, "gpt-2/774M")
        found = decisions.public(session, [stage.id])[stage.id]
    assert [one.to for one in found] == [StageState.PARTNERS, StageState.PUBLIC]
    assert first.done_at is not None
    last = PublicDecision(first.id, StageState.PARTNERS, StageState.PUBLIC, first.done_at, "No harm was seen.")
    assert found[-1] == last
