"""Reporting: whoever has or had access to a stage may, and says everything that the lab needs."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from server.domain.access import clearances
from server.domain.downloads import issuing
from server.domain.errors import (
    AuthenticationRequired,
    InvalidRequest,
    NotCleared,
    NotFound,
    NotPermitted,
    NotPossible,
    OrganizationSuspended,
    PersonDisabled,
    Refused,
)
from server.domain.identity import people
from server.domain.mail.mails import Mail
from server.domain.permissions import Role
from server.domain.release import findings, holds, stages
from server.domain.release.findings import FindingKind, Severity
from server.domain.release.stages import StageState
from tests import tampering
from tests.findings import AS_USUAL, report
from tests.world import STRANGER, World, cases

DAY = timedelta(days=1)


def test_a_report_is_kept_with_all_that_was_said(world: World) -> None:
    """The row has the words, the log their hash; the checkpoint is named by its id, whatever the reporter called it."""
    until = (world.clock() + 9 * DAY).date()
    number = report(world, checkpoint="main", embargo_until=until, may_publish=True, title=" A title ")
    with world.use.database.reading() as session:
        found = findings.get(session, world.person("cleared"), number)
        assert (found.title, found.text, found.state, found.stage.full_name) == (
            "A title", "What we saw.", "open", "gpt-2/774M",
        )  # fmt: skip
        assert (found.embargo_until, found.may_publish, found.may_name) == (until, True, False)
        checkpoint = found.checkpoint_id
    (record,) = world.records("finding.report")
    assert len(str(checkpoint)) == 40
    assert {key: record[key] for key in ("finding", "organization", "stage", "checkpoint", "about", "severity")} == {
        "finding": number, "organization": "aurora-institute", "stage": "gpt-2/774M", "checkpoint": checkpoint,
        "about": "bias", "severity": "low",
    }  # fmt: skip
    assert record["embargo_until"] == str(until)
    assert record["text_sha256"] == findings.sha256_of("A title", "What we saw.")
    assert b"What we saw" not in world.entries("finding.report")[-1].record


def withdrawn(world: World) -> None:
    world.tampered = True
    tampering.run(world.settings.database_url, "UPDATE stages SET state = 'withdrawn' WHERE name = '774M'")


STILL: dict[str, Callable[[World], object]] = {
    "while it is on hold": lambda world: holds.place(world.use, world.admin, "gpt-2/774M", "A finding."),
    "after it was withdrawn": withdrawn,
    "after its clearance was revoked": lambda world: clearances.revoke(world.use, world.admin, 1),
}


@cases("happened", STILL)
def test_what_was_once_open_can_still_be_reported_on(world: World, happened: str) -> None:
    """The files are with the partner: the lab wants to hear of them whatever it has closed since."""
    STILL[happened](world)
    assert report(world)


def test_who_took_a_stage_while_it_was_public_can_report_on_it_later(world: World) -> None:
    """A download is access, too; whoever neither took it nor was cleared cannot."""
    issuing.issue(world.use, world.caller("uncleared"), world.order("gpt-2/124M"))
    world.tampered = True
    tampering.run(world.settings.database_url, "UPDATE stages SET state = 'partners' WHERE name = '124M'")
    assert report(world, world.person("uncleared"), stage="gpt-2/124M")
    with pytest.raises(NotCleared):
        report(world, world.add_partner(), stage="gpt-2/124M")


def test_everybody_reports_on_a_public_stage_and_the_lab_on_any(world: World) -> None:
    """Also on one that is planned, before anybody else knows of it."""
    assert report(world, world.person("uncleared"), stage="gpt-2/124M")
    assert report(world, world.person("publisher"), stage="gpt-2/1558M")
    assert report(world, world.admin)


REFUSED: dict[str, tuple[type[Refused], str, str]] = {  # who reports on what, and how it is refused
    "without clearance": (NotCleared, "uncleared", "gpt-2/774M"),
    "below the tier": (NotCleared, "cleared", "mini-gpt/large"),
    "on a plan": (NotFound, "cleared", "gpt-2/1558M"),
    "on nothing": (NotFound, "cleared", "gpt-2/none"),
    "by an auditor": (NotPermitted, "auditor", "gpt-2/774M"),
}


@cases("case", REFUSED)
def test_who_may_not_report_is_told_why(world: World, case: str) -> None:
    """Nothing is kept of it."""
    refusal, who, stage = REFUSED[case]
    with pytest.raises(refusal):
        report(world, world.person(who), stage=stage)
    assert world.entries("finding.report") == []


def test_nobody_reports_without_signing_in(world: World) -> None:
    """Not even on a public stage."""
    with pytest.raises(AuthenticationRequired):
        report(world, STRANGER, stage="gpt-2/124M")


def test_whoever_was_disabled_meanwhile_reports_nothing(world: World) -> None:
    """Between the door and the act; and the same for the organization."""
    caller = world.person("cleared")
    world.add_person("aurora-institute", "second@aurora-institute.example", Role.OWNER)
    people.disable(world.use, world.admin, str(caller.person))
    with pytest.raises(PersonDisabled):
        report(world, caller)
    other = world.person("unsigned")
    holds.place(world.use, world.admin, "organization:birch-university", "It asked for it.")
    with pytest.raises(OrganizationSuspended):
        report(world, other, stage="gpt-2/124M")


@pytest.mark.parametrize("is_approved", [True, False])
def test_a_clearance_that_has_not_begun_or_was_never_approved_opens_no_desk(world: World, is_approved: bool) -> None:
    """Nor does one that was revoked before its first day, after that day."""
    at = world.clock()
    made = clearances.propose(
        world.use, world.admin, "cedar-systems", "gpt-2", "research", starts_at=at + DAY if is_approved else at,
        expires_at=at + 9 * DAY, purpose="A study.",
    )  # fmt: skip
    if is_approved:
        clearances.approve(world.use, world.admin2, made.id)
    with pytest.raises(NotCleared):
        report(world, world.person("uncleared"))
    clearances.revoke(world.use, world.admin, made.id)
    world.clock.advance(2 * DAY)
    with pytest.raises(NotCleared):
        report(world, world.person("uncleared"))


BAD: dict[str, dict[str, Any]] = {
    "no title": {"title": "  "},
    "a long title": {"title": "x" * 201},
    "two lines": {"title": "a\nb"},
    "no text": {"text": " \n"},
    "ten megabytes": {"text": "x" * 10_000_000},
    "one character more": {"text": "x" * 50_001},
    "a control character": {"text": "a\x00b"},
    "too much Markdown": {"text": "[" * 10_001},
    "quotes in quotes": {"text": ">" * 30 + " a"},
}


@pytest.mark.parametrize("what", BAD)
def test_a_report_that_cannot_be_kept_is_refused_with_the_bound(sqlite_world: World, what: str) -> None:
    """Before anything is looked up."""
    with pytest.raises(InvalidRequest):
        report(sqlite_world, **BAD[what])
    assert sqlite_world.entries("finding.report") == []


def test_the_longest_text_is_kept_whole(world: World) -> None:
    """To its last character."""
    text = "ж" * 49_999 + "!"
    number = report(world, text=text)
    with world.use.database.reading() as session:
        assert findings.get(session, world.admin, number).text == text


@pytest.mark.parametrize(("days", "is_fine"), [(-1, False), (0, False), (1, True), (366, True), (367, False)])
def test_an_embargo_ends_on_a_day_to_come(sqlite_world: World, days: int, is_fine: bool) -> None:
    """Within a year: what nobody may ever be told helps nobody."""
    until = (sqlite_world.clock() + timedelta(days=days)).date()
    if is_fine:
        assert report(sqlite_world, embargo_until=until)
    else:
        with pytest.raises(NotPossible):
            report(sqlite_world, embargo_until=until)


def test_nothing_found_has_no_severity(sqlite_world: World) -> None:
    """How bad what is not there would be, nobody can say."""
    with pytest.raises(NotPossible):
        report(sqlite_world, kind=FindingKind.NOTHING_FOUND)
    assert report(sqlite_world, kind=FindingKind.NOTHING_FOUND, severity=Severity.NONE)


def test_a_checkpoint_of_another_stage_is_not_there(world: World) -> None:
    """Nor one that there is not."""
    number = report(world, stage="mini-gpt/base", checkpoint="main")
    with world.use.database.reading() as session:
        other = findings.get(session, world.admin, number).checkpoint_id
    for checkpoint in (other, "0" * 40, "x"):
        with pytest.raises(NotFound):
            report(world, checkpoint=checkpoint, title="Another")


def test_the_same_report_is_kept_once(world: World) -> None:
    """Again within a minute, it is refused with the first one's number; another's, a changed one, a later one not."""
    number = report(world)
    with pytest.raises(NotPossible, match=f"finding {number}"):
        report(world)
    assert report(world, title="Another")
    world.add_person("aurora-institute", "member@aurora-institute.example", Role.MEMBER)
    assert report(world, world.person_of("member@aurora-institute.example"))
    world.clock.advance(timedelta(seconds=61))
    assert report(world)


def test_an_organization_reports_so_often_and_no_more(sqlite_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is a mail to every admin; a day later it can again, and another organization can meanwhile."""
    world = sqlite_world
    monkeypatch.setattr("server.domain.access.finding_reports.REPORTED_A_DAY_AT_MOST", 2)
    report(world, title="One")
    report(world, title="Two")
    with pytest.raises(NotPossible, match="24 hours"):
        report(world, title="Three")
    assert report(world, world.person("unsigned"), stage="gpt-2/124M")
    world.clock.advance(DAY)
    assert report(world, title="Three")


def test_the_lab_s_admins_are_told(world: World) -> None:
    """Each of them, with the title and never the text; a critical one says so in its subject."""
    report(world, title="First")
    report(world, title="Second", severity=Severity.CRITICAL)
    with world.use.database.reading() as session:
        mails = session.query(Mail).filter_by(kind="finding_reported").order_by(Mail.id).all()
    admins = {world.admin.person, world.admin2.person}
    assert [mail.recipient in admins for mail in mails] == [True] * 4
    assert {mail.subject for mail in mails} == {
        "Finding from Aurora Institute: bias, low: gpt-2/774M",
        "CRITICAL finding from Aurora Institute: bias, critical: gpt-2/774M",
    }
    assert all(AS_USUAL["text"] not in mail.text for mail in mails)
    assert "> Second" in mails[-1].text


def test_a_report_waits_for_whoever_moves_its_stage(world: World) -> None:
    """Else an entry of it could stand behind the move after which it was not allowed."""
    world.tampered = True
    with ThreadPoolExecutor(1) as pool:
        with world.use.database.transaction() as session:
            stages.get(session, "gpt-2/124M", lock=True).state = StageState.PARTNERS
            session.flush()
            waits = pool.submit(report, world, world.person("uncleared"), stage="gpt-2/124M")
            with pytest.raises(TimeoutError):
                waits.result(timeout=0.3)
        with pytest.raises(NotCleared):
            waits.result()
    assert world.records("finding.report") == []
