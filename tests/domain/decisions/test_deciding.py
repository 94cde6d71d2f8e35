"""Deciding: two people, one of whom proposed; each state once; nothing happens that nobody approved."""

from datetime import timedelta
from typing import Any

import pytest

from server.domain.decisions import deciding, execution, proposing
from server.domain.decisions.proposing import Proposal
from server.domain.errors import InvalidRequest, NotFound, NotPermitted, NotPossible
from server.domain.identity import people
from server.domain.permissions import Role
from server.domain.release import holds
from server.domain.release.decisions import Decision, DecisionState
from server.domain.release.stages import StageState
from server.log.condition import LogUnsound
from tests.domain.decisions.test_proposing import propose, state_of
from tests.world import World, cases

HOUR = timedelta(hours=1)


def test_a_move_takes_two_people_and_is_three_entries(world: World) -> None:
    """Proposed, approved and carried out; the log says by whom, and the stage is where it was to go."""
    made = propose(world, "gpt-2/762M")
    with pytest.raises(NotPossible, match="another admin must approve"):
        deciding.approve(world.use, world.admin, made.id)
    assert state_of(world, "gpt-2/774M") == "partners"
    done = deciding.approve(world.use, world.admin2, made.id, "I agree.")
    assert (done.state, done.approved_because) == (DecisionState.DONE, "I agree.")
    assert state_of(world, "gpt-2/774M") == "public"
    first, second, third = (world.records(f"decision.{act}")[-1] for act in ("propose", "approve", "execute"))
    assert [one["actor"]["person"] for one in (first, second)] == [world.admin.person, world.admin2.person]
    said = {"decision": made.id, "decides": "move", "on": "gpt-2/774M", "before": "partners", "to": "public"}
    assert all(said.items() <= one.items() for one in (first, second, third))
    assert world.entries("decision.execute")[-1].stage == "gpt-2/774M"


def test_one_that_is_approved_while_it_is_forbidden_is_blocked_for_good(world: World) -> None:
    """Nothing moves, the row says why, and lifting what forbade it does not bring it back."""
    made = propose(world)
    holds.place(world.use, world.admin, "gpt-2", "Wait.")
    blocked = deciding.approve(world.use, world.admin2, made.id)
    assert (blocked.state, blocked.blocked_because) == (
        DecisionState.BLOCKED,
        "There is a hold on gpt-2.",
    )
    assert state_of(world, "gpt-2/774M") == "partners"
    with pytest.raises(NotPossible, match="is blocked"):
        deciding.approve(world.use, world.admin2, made.id)
    with pytest.raises(NotPossible, match="nothing left to cancel"):
        deciding.cancel(world.use, world.admin, made.id)
    assert world.records("decision.block")[-1]["because"] == ["There is a hold on gpt-2."]


@pytest.mark.parametrize("by", ["publisher", "auditor", "cleared"])
def test_only_admins_decide(sqlite_world: World, by: str) -> None:
    """Staff read decisions; who opens a stage is for admins."""
    made = propose(sqlite_world)
    for act in (deciding.approve, deciding.reject, deciding.cancel):
        with pytest.raises(NotPermitted):
            act(sqlite_world.use, sqlite_world.person(by), made.id)


@cases("act", [deciding.approve, deciding.reject, deciding.cancel])
def test_an_unknown_decision_is_not_found(world: World, act: Any) -> None:
    """No act on nothing, and a reason is not ten pages."""
    with pytest.raises(NotFound):
        act(world.use, world.admin, 10**6)
    with pytest.raises(InvalidRequest):
        act(world.use, world.admin2, propose(world).id, "x" * 10_001)


def test_rejecting_is_another_s_and_cancelling_anybody_s(world: World) -> None:
    """A proposer takes back what they proposed; a second admin says no; both for good, each with an entry."""
    with pytest.raises(NotPossible, match="cancel it"):
        deciding.reject(world.use, world.admin, propose(world).id)
    first = world.records("decision.propose")[-1]["decision"]
    assert deciding.cancel(world.use, world.admin, first, "Not now.").state == DecisionState.CANCELLED
    second = propose(world).id
    rejected = deciding.reject(world.use, world.admin2, second, "Too early.")
    assert (rejected.state, rejected.closed_because) == (DecisionState.REJECTED, "Too early.")
    for gone in (first, second):
        with pytest.raises(NotPossible):
            deciding.approve(world.use, world.admin2, gone)
    assert world.records("decision.cancel")[-1]["because"] == "Not now."
    assert world.records("decision.reject")[-1]["because"] == "Too early."
    assert state_of(world, "gpt-2/774M") == "partners"


def test_what_is_scheduled_waits_and_can_be_cancelled(world: World) -> None:
    """Approved, and nothing moves until its moment; cancelled before it, nothing ever does."""
    made = propose(world, opens_at=world.clock() + HOUR)
    assert deciding.approve(world.use, world.admin2, made.id).state == DecisionState.APPROVED
    assert execution.carry_out_due(world.use) == []
    deciding.cancel(world.use, world.admin2, made.id)
    world.clock.advance(2 * HOUR)
    assert execution.carry_out_due(world.use) == []
    assert state_of(world, "gpt-2/774M") == "partners"


def test_what_is_scheduled_stands_whatever_becomes_of_its_proposer(sqlite_world: World) -> None:
    """Two who could have decided it; its moment judges the stage, and whoever wants it stopped cancels it."""
    world, cleo = sqlite_world, "cleo@example-lab.example"
    world.add_person("example-lab", cleo, Role.ADMIN)
    texts = ("No misuse.", "Misuse.", "Safe.")
    proposal = Proposal(StageState.PUBLIC, *texts, opens_at=world.clock() + HOUR)
    made = proposing.propose(world.use, world.person_of(cleo), "gpt-2/774M", proposal)
    deciding.approve(world.use, world.admin2, made.id)
    people.disable(world.use, world.admin, cleo)
    world.clock.advance(2 * HOUR)
    assert [one.id for one in execution.carry_out_due(world.use)] == [made.id]
    assert state_of(world, "gpt-2/774M") == "public"


def test_one_that_is_approved_after_its_moment_is_carried_out_at_its_turn(world: World) -> None:
    """Those whose moments came before it come first, though no worker was there."""
    early = propose(world, "gpt-2/1558M", StageState.PARTNERS, opens_at=world.clock() + HOUR)
    late = propose(world, opens_at=world.clock() + 2 * HOUR)
    deciding.approve(world.use, world.admin2, early.id)
    world.clock.advance(3 * HOUR)
    assert deciding.approve(world.use, world.admin2, late.id).state == DecisionState.DONE
    assert [record["decision"] for record in world.records("decision.execute")][-2:] == [early.id, late.id]


def test_what_was_due_happens_before_what_is_approved_now(world: World) -> None:
    """The worker was away: a stage that was to open an hour ago opens before the next decision on it."""
    first = propose(world, "gpt-2/1558M", StageState.PARTNERS, opens_at=world.clock() + HOUR)
    deciding.approve(world.use, world.admin2, first.id)
    world.clock.advance(2 * HOUR)
    second: Decision = propose(world)
    deciding.approve(world.use, world.admin2, second.id)
    assert [record["decision"] for record in world.records("decision.execute")][-2:] == [first.id, second.id]


def test_a_clock_that_is_behind_decides_nothing(world: World) -> None:
    """As it issues nothing: by such a clock nobody can say what is due."""
    made = propose(world)
    scheduled = propose(world, "gpt-2/1558M", StageState.PARTNERS, opens_at=world.clock() + HOUR)
    deciding.approve(world.use, world.admin2, scheduled.id)
    world.clock.advance(2 * HOUR)
    holds.place(world.use, world.admin, "mini-gpt", "An entry of then.")
    world.clock.offset -= timedelta(minutes=50)
    with pytest.raises(LogUnsound, match="behind the newest entry"):
        deciding.approve(world.use, world.admin2, made.id)
    with pytest.raises(LogUnsound):
        execution.carry_out_due(world.use)
    world.clock.advance(timedelta(minutes=50))
    assert [one.id for one in execution.carry_out_due(world.use)] == [scheduled.id]
