"""What forbids a move: each of it named, for moves that give access alone."""

from collections.abc import Sequence

import pytest

from server.domain.decisions import blockers, deciding
from server.domain.errors import NotPossible
from server.domain.release import finding_triage, findings, holds, stage_editing, stages
from server.domain.release.decisions import DecisionState
from server.domain.release.findings import FindingKind, FindingState, Severity
from server.domain.release.stages import StageState
from tests.domain.decisions.test_proposing import propose
from tests.findings import report
from tests.world import World, cases


def forbids(world: World, to: StageState = StageState.PUBLIC, considered: Sequence[int] = ()) -> list[str]:
    """What forbids to move gpt-2/774M now."""
    with world.use.database.reading() as session:
        stage = stages.get(session, "gpt-2/774M")
        return blockers.of_move(session, stage, StageState(stage.state), to, considered)


@cases("on", ["gpt-2/774M", "gpt-2", "everything"])
def test_a_hold_forbids_to_open_what_lies_under_it(world: World, on: str) -> None:
    """On the stage, its model or everything; never to take access away."""
    assert forbids(world) == []
    holds.place(world.use, world.admin, on, "Wait.")
    assert forbids(world) == [f"There is a hold on {on}."]
    assert forbids(world, StageState.WITHDRAWN) == []
    world.lift(on)
    assert forbids(world) == []


def test_a_hold_on_another_stage_forbids_nothing(world: World) -> None:
    """Nor one on another model."""
    for on in ("gpt-2/355M", "mini-gpt"):
        holds.place(world.use, world.admin, on, "Wait.")
    assert forbids(world) == []


def test_a_critical_finding_forbids_to_open_any_stage_of_its_model(world: World) -> None:
    """Until it is triaged; confirmed, until a decision considers it; and whichever stage it is about."""
    number = report(world, stage="gpt-2/355M", severity=Severity.CRITICAL)
    assert forbids(world) == [f"Finding {number} on gpt-2/355M is critical and has not been triaged."]
    assert forbids(world, StageState.WITHDRAWN) == []
    finding_triage.triage(world.use, world.admin, number, FindingState.CONFIRMED)
    assert forbids(world) == [f"Finding {number} on gpt-2/355M is critical and is not considered by this decision."]
    assert forbids(world, considered=[number]) == []
    other = report(world, stage="mini-gpt/base", severity=Severity.CRITICAL)
    assert forbids(world, considered=[number, other]) == []
    assert world.move("gpt-2/774M", StageState.PUBLIC).state == DecisionState.BLOCKED
    made = propose(world, findings=(number,))
    assert deciding.approve(world.use, world.admin2, made.id).state == DecisionState.DONE
    with world.use.database.reading() as session:
        assert findings.get(session, world.admin, number).state == FindingState.CONSIDERED


def test_one_that_is_not_triaged_forbids_though_it_is_considered(world: World) -> None:
    """Nobody has looked at it: naming it in a decision is no answer to it."""
    number = report(world, severity=Severity.CRITICAL)
    made = propose(world, findings=(number,))
    assert deciding.approve(world.use, world.admin2, made.id).state == DecisionState.BLOCKED


def test_a_stage_waits_for_the_reports_that_it_needs(world: World) -> None:
    """Nothing found counts as well; asked for where it becomes public, and nowhere else."""
    stage_editing.edit(world.use, world.admin, "gpt-2/774M", reports_at_least=2)
    stage_editing.edit(world.use, world.admin, "gpt-2/1558M", reports_at_least=2)
    report(world)
    assert forbids(world) == ["gpt-2/774M needs at least 2 reports by partners, and has 1."]
    assert world.move("gpt-2/1558M", StageState.PARTNERS).state == DecisionState.DONE
    report(world, kind=FindingKind.NOTHING_FOUND, severity=Severity.NONE)
    assert forbids(world) == []
    assert world.move("gpt-2/774M", StageState.PUBLIC).state == DecisionState.DONE


def test_a_decision_names_findings_of_its_model_alone(world: World) -> None:
    """What is not there, and what was found in another family, is refused."""
    other = report(world, stage="mini-gpt/base")
    for number in (4711, other):
        with pytest.raises(NotPossible, match=f"There is no finding {number} on gpt-2"):
            propose(world, findings=(number,))
