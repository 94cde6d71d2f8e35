"""Findings: what decisions ask of them."""

from sqlalchemy import select, update

from server.domain.release import findings, stages
from server.domain.release.findings import TRANSITIONS, Finding, FindingKind, FindingState, Severity
from tests.findings import report
from tests.world import World

STAGE = "gpt-2/774M"


def set_state(world: World, finding_id: int, state: FindingState) -> None:
    """As triage does, without its entries: what is asked here are the rows."""
    world.tampered = True
    with world.use.database.transaction() as session:
        session.execute(update(Finding).where(Finding.id == finding_id).values(state=state))


def critical(world: World, considered: tuple[int, ...] = ()) -> list[int]:
    with world.use.database.reading() as session:
        model_id = stages.get(session, STAGE).model_id
        return [one.id for one in findings.open_critical(session, model_id, considered)]


def counted(world: World) -> list[int]:
    with world.use.database.reading() as session:
        return [one.id for one in findings.reports(session, stages.get(session, STAGE).id)]


def test_a_critical_finding_stands_in_the_way_until_it_is_settled(world: World) -> None:
    """An open one whatever is said of it; a confirmed one unless the decision names it; any other severity never."""
    report(world, severity=Severity.HIGH)
    number = report(world, severity=Severity.CRITICAL)
    assert critical(world) == critical(world, (number,)) == [number]
    set_state(world, number, FindingState.CONFIRMED)
    assert (critical(world), critical(world, (number,))) == ([number], [])
    for state in (FindingState.NOT_REPRODUCED, FindingState.CONSIDERED, FindingState.CLOSED):
        set_state(world, number, state)
        assert critical(world) == []


def test_a_critical_finding_is_of_its_model_alone(world: World) -> None:
    """The other model goes on."""
    report(world, stage="mini-gpt/base", severity=Severity.CRITICAL)
    assert critical(world) == []


def test_what_counts_as_a_report(world: World) -> None:
    """Partners' findings on that stage, "nothing found" included, until they came to nothing; never the lab's own."""
    found = report(world)
    nothing = report(world, kind=FindingKind.NOTHING_FOUND, severity=Severity.NONE)
    report(world, world.admin)
    report(world, stage="mini-gpt/base")
    assert counted(world) == [found, nothing]
    set_state(world, found, FindingState.CONSIDERED)
    set_state(world, nothing, FindingState.NOT_REPRODUCED)
    assert counted(world) == [found]
    set_state(world, found, FindingState.CLOSED)
    assert counted(world) == []


def test_a_decision_moves_on_what_was_triaged(world: World) -> None:
    """Confirmed or not reproduced becomes considered; what is open or closed stays, and so does what is not named."""
    numbers = {state: report(world, title=state) for state in FindingState}
    other = report(world, title="another")
    for state, number in numbers.items():
        set_state(world, number, state)
    set_state(world, other, FindingState.CONFIRMED)
    at = world.clock()
    with world.use.database.transaction() as session:
        moved = [one.id for one in findings.mark_considered(session, list(numbers.values()), at)]
    with world.use.database.reading() as session:
        states = {one.id: one.state for one in session.scalars(select(Finding))}
    triaged = [numbers[FindingState.CONFIRMED], numbers[FindingState.NOT_REPRODUCED]]
    assert moved == triaged
    assert {states[number] for number in triaged} == {"considered"}
    assert states[numbers[FindingState.OPEN]] == "open"
    assert states[numbers[FindingState.CLOSED]] == "closed"
    assert states[other] == "confirmed"


def test_there_is_no_way_back() -> None:
    """Each state leads forward only, as written here by hand."""
    assert {str(state): sorted(to) for state, to in TRANSITIONS.items()} == {
        "open": ["confirmed", "not_reproduced"],
        "confirmed": ["closed", "considered"],
        "not_reproduced": ["closed", "considered"],
        "considered": [],
        "closed": [],
    }
