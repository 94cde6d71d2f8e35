"""Triage: forward only, by an admin, and its reporter is told."""

import pytest

from server.domain.errors import InvalidRequest, NotFound, NotPermitted, NotPossible
from server.domain.mail.mails import Mail
from server.domain.release import finding_triage, findings
from server.domain.release.findings import TRANSITIONS, Finding, FindingKind, FindingState, Severity
from tests.findings import report
from tests.world import World

PATHS: dict[FindingState, list[FindingState]] = {  # how each state is come by
    FindingState.OPEN: [],
    FindingState.CONFIRMED: [FindingState.CONFIRMED],
    FindingState.NOT_REPRODUCED: [FindingState.NOT_REPRODUCED],
    FindingState.CONSIDERED: [FindingState.CONFIRMED, FindingState.CONSIDERED],
    FindingState.CLOSED: [FindingState.NOT_REPRODUCED, FindingState.CLOSED],
}


def read(world: World, number: int) -> Finding:
    with world.use.database.reading() as session:
        return findings.get(session, world.admin, number)


def mails(world: World) -> list[Mail]:
    with world.use.database.reading() as session:
        return session.query(Mail).filter_by(kind="finding_moved_on").order_by(Mail.id).all()


@pytest.mark.parametrize("before", FindingState)
def test_a_finding_moves_to_what_follows_and_to_nothing_else(sqlite_world: World, before: FindingState) -> None:
    """Every pair of states, by the real command; what is refused leaves no entry."""
    world = sqlite_world
    for to in FindingState:
        number = report(world, title=f"{before} to {to}")
        for step in PATHS[before]:
            finding_triage.triage(world.use, world.admin, number, step)
        entries = len(world.entries("finding.triage"))
        if to in TRANSITIONS[before]:
            finding_triage.triage(world.use, world.admin2, number, to)
            assert read(world, number).state == to
            assert len(world.entries("finding.triage")) == entries + 1
        else:
            with pytest.raises(NotPossible):
                finding_triage.triage(world.use, world.admin2, number, to)
            assert (read(world, number).state, len(world.entries("finding.triage"))) == (before, entries)


def test_what_is_settled_is_not_reopened_and_keeps_its_severity(world: World) -> None:
    """The refusal says what to do instead."""
    number = report(world)
    for state in PATHS[FindingState.CLOSED]:
        finding_triage.triage(world.use, world.admin, number, state)
    with pytest.raises(NotPossible, match="nothing else") as refused:
        finding_triage.triage(world.use, world.admin, number, FindingState.CLOSED, Severity.HIGH)
    assert "report another finding" in refused.value.next_step


def test_severity_changes_with_a_state_or_alone(world: World) -> None:
    """Both values stand in the entry, and its reporter reads the new ones."""
    number = report(world)
    finding_triage.triage(world.use, world.admin, number, FindingState.CONFIRMED, Severity.HIGH)
    finding_triage.triage(world.use, world.admin, number, FindingState.CONFIRMED, Severity.CRITICAL)
    assert read(world, number).severity == "critical"
    first, second = world.records("finding.triage")
    wanted = ("before", "to", "severity_before", "severity")
    assert [first[key] for key in wanted] == ["open", "confirmed", "low", "high"]
    assert [second[key] for key in wanted] == ["confirmed", "confirmed", "high", "critical"]
    assert "It is confirmed, and its severity is high." in mails(world)[0].text
    assert mails(world)[0].recipient == world.person("cleared").person


def test_what_changes_nothing_is_refused(world: World) -> None:
    """Somebody else may have done it already."""
    number = report(world)
    with pytest.raises(NotPossible, match="already not triaged yet"):
        finding_triage.triage(world.use, world.admin, number, FindingState.OPEN)


def test_nothing_found_has_no_severity(world: World) -> None:
    """Whoever looked and found nothing is not told that it is bad; it is confirmed as what it says."""
    number = report(world, kind=FindingKind.NOTHING_FOUND, severity=Severity.NONE)
    with pytest.raises(NotPossible):
        finding_triage.triage(world.use, world.admin, number, FindingState.CONFIRMED, Severity.LOW)
    finding_triage.triage(world.use, world.admin, number, FindingState.CONFIRMED)


def test_an_answer_reaches_its_reporter(world: World) -> None:
    """By mail and in the row; the log has its hash; the next one takes its place, also when the finding is closed."""
    number = report(world)
    finding_triage.triage(world.use, world.admin, number, FindingState.CONFIRMED, answer="Thank *you*.\nWe saw it.")
    finding_triage.triage(world.use, world.admin, number, FindingState.CLOSED)
    finding_triage.answer(world.use, world.admin2, number, "Fixed in the next checkpoint.")
    assert read(world, number).answer == "Fixed in the next checkpoint."
    assert [record["answer_sha256"] for record in world.records("finding.answer")] == [
        findings.sha256_of("Thank *you*.\nWe saw it."), findings.sha256_of("Fixed in the next checkpoint."),
    ]  # fmt: skip
    with pytest.raises(NotPossible, match="already"):
        finding_triage.answer(world.use, world.admin, number, "Fixed in the next checkpoint.")
    told = mails(world)
    assert [mail.subject.split(":")[0] for mail in told] == ["Answered", "Triaged", "Answered"]
    assert "> Thank *you*.\n> We saw it." in told[0].text


@pytest.mark.parametrize("who", ["cleared", "publisher", "auditor"])
def test_only_an_admin_triages_and_answers(sqlite_world: World, who: str) -> None:
    """Its own reporter does not."""
    world = sqlite_world
    number = report(world)
    with pytest.raises(NotPermitted):
        finding_triage.triage(world.use, world.person(who), number, FindingState.CONFIRMED)
    with pytest.raises(NotPermitted):
        finding_triage.answer(world.use, world.person(who), number, "Thanks.")


def test_a_finding_that_there_is_not_is_not_found(sqlite_world: World) -> None:
    """And an empty answer is none."""
    with pytest.raises(NotFound):
        finding_triage.triage(sqlite_world.use, sqlite_world.admin, 99, FindingState.CONFIRMED)
    with pytest.raises(InvalidRequest):
        finding_triage.answer(sqlite_world.use, sqlite_world.admin, report(sqlite_world), " ")
