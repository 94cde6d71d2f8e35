"""Findings in the audit: whatever is written past the rules, or changed in the tables, is named on both databases."""

from collections.abc import Callable
from typing import Any

from server.domain.access import clearances, finding_releases
from server.domain.audit import verifying
from server.domain.downloads import issuing
from server.domain.entry_kinds import EntryKind
from server.domain.release import finding_attachments, finding_triage
from server.domain.release.findings import FindingState, Severity
from tests import tampering
from tests.attached import attached
from tests.findings import report
from tests.world import World, cases

OPEN_TO_ALL = "gpt-2/124M"
Record = dict[str, Any]


def found(world: World) -> list[tuple[str, str]]:
    world.seal()
    return [
        (fault.row, fault.sentence) for log in verifying.verify(world.use, tables=True) for fault in log.faults
    ]  # fmt: skip


def last(world: World, kind: EntryKind) -> Record:
    return world.records(kind)[-1]


def reported(world: World, **more: Any) -> Record:
    """The record of a report by the cleared partner, for a finding that there is not yet."""
    report(world)
    return last(world, EntryKind.FINDING_REPORT) | {"finding": 99} | more


def actor(world: World, name: str) -> Record:
    return {"actor": world.person(name).as_record(), "organization": world.person(name).organization}


def triaged(world: World, **more: Any) -> Record:
    number = report(world, may_publish=True, stage=OPEN_TO_ALL)
    said = {"finding": number, "stage": OPEN_TO_ALL, "severity": "low", "severity_before": "low"}
    return said | {"organization": "aurora-institute", "actor": world.admin.as_record()} | more


def _settled(world: World) -> Record:
    record = triaged(world, before="closed", to="open")
    for state in (FindingState.CONFIRMED, FindingState.CLOSED):
        finding_triage.triage(world.use, world.admin, record["finding"], state)
    return record


def _released(world: World, **about: Any) -> Record:
    number = report(world, stage=OPEN_TO_ALL, **about)
    return {"finding": number, "stage": OPEN_TO_ALL, "to": [], "actor": world.admin.as_record()}


def _opened(world: World, who: str) -> Record:
    record = _released(world)
    made = attached(world, record["finding"])
    return record | {"attachment": made.id, "actor": world.person(who).as_record()}


PLANTED: dict[str, tuple[EntryKind, Callable[[World], Record], str]] = {
    "a report by whom nothing was ever open to": (
        EntryKind.FINDING_REPORT, lambda world: reported(world, **actor(world, "uncleared")),
        "its reporter's organization never had access to that stage",
    ),
    "a report below the tier": (
        EntryKind.FINDING_REPORT, lambda world: reported(world, stage="mini-gpt/large"),
        "its reporter's organization never had access to that stage",
    ),
    "a report on a plan": (
        EntryKind.FINDING_REPORT, lambda world: reported(world, stage="gpt-2/1558M"),
        "it reports on a stage that was not released",
    ),
    "a report on nothing": (
        EntryKind.FINDING_REPORT, lambda world: reported(world, stage="gpt-2/none"),
        "it reports on a stage that was never added",
    ),
    "a report for another": (
        EntryKind.FINDING_REPORT,
        lambda world: reported(world, stage=OPEN_TO_ALL, organization="birch-university"),
        "it reports a finding for a different organization",
    ),
    "a report twice": (
        EntryKind.FINDING_REPORT, lambda world: reported(world) | {"finding": 1},
        "it reports a finding that already exists",
    ),
    "nothing found, and bad": (
        EntryKind.FINDING_REPORT, lambda world: reported(world, about="nothing_found"),
        "it reports that nothing was found, with a severity",
    ),
    "a report by an auditor": (
        EntryKind.FINDING_REPORT, lambda world: reported(world, **actor(world, "auditor")),
        "auditor@example-lab.example, who did it, had the role auditor, which does not allow this",
    ),
    "a state left out": (
        EntryKind.FINDING_TRIAGE, lambda world: triaged(world, before="open", to="considered"),
        "a finding cannot move from open to considered",
    ),
    "a finding reopened": (EntryKind.FINDING_TRIAGE, _settled, "a finding cannot move from closed to open"),
    "a severity that was another": (
        EntryKind.FINDING_TRIAGE, lambda world: triaged(world, before="open", to="confirmed", severity_before="high"),
        "it triages a finding from a state or severity that it did not have",
    ),
    "triage by its reporter": (
        EntryKind.FINDING_TRIAGE,
        lambda world: triaged(world, before="open", to="confirmed", actor=world.person("cleared").as_record()),
        "owner@aurora-institute.example, who did it, had the role owner, which does not allow this",
    ),
    "triage of nothing": (
        EntryKind.FINDING_TRIAGE, lambda world: triaged(world, before="open", to="confirmed", finding=99),
        "it is about a finding that was never reported",
    ),
    "an answer to nothing": (
        EntryKind.FINDING_ANSWER, lambda world: triaged(world, finding=99, answer_sha256="0" * 64),
        "it is about a finding that was never reported",
    ),
    "a release under embargo": (
        EntryKind.FINDING_RELEASE,
        lambda world: _released(world, may_publish=True, embargo_until=world.clock().date().replace(year=2027)),
        "it releases a finding before its embargo ends",
    ),
    "a release that was not allowed": (
        EntryKind.FINDING_RELEASE, _released, "it releases a finding that its reporter does not let others see"),
    "a release of nothing": (
        EntryKind.FINDING_RELEASE, lambda world: _released(world) | {"finding": 99},
        "it is about a finding that was never reported",
    ),
    "a file attached by another": (
        EntryKind.FINDING_ATTACH,
        lambda world: triaged(world, actor=world.person("unsigned").as_record(), attachment=9, sha256="0" * 64),
        "it attaches a file to a finding of a different organization",
    ),
    "a file attached to nothing": (
        EntryKind.FINDING_ATTACH,
        lambda world: triaged(world, actor=world.person("cleared").as_record(), finding=99, attachment=9, sha256="0"),
        "it is about a finding that was never reported",
    ),
    "a file read that there is not": (
        EntryKind.FINDING_OPEN, lambda world: _released(world) | {"attachment": 99},
        "it opens an attachment that was never made",
    ),
    "a file read by whom it was not released to": (
        EntryKind.FINDING_OPEN, lambda world: _opened(world, "unsigned"),
        "it opens an attachment for an organization that the finding was not released to",
    ),
}  # fmt: skip


@cases("what", PLANTED)
def test_what_was_written_past_the_rules_is_named(world: World, what: str) -> None:
    """Valid bytes under the right columns, sealed by the right key: the rule alone finds it, and says it."""
    kind, planting, sentence = PLANTED[what]
    record = planting(world)
    number = world.plant(kind, record, record.get("organization"))
    named = found(world)
    assert (world.name_of(number), sentence) in named


def test_what_happened_by_the_rules_is_no_fault(world: World) -> None:
    """Reports of every sort that is allowed, triage with answers, and a release; the tables say the same."""
    number = report(world, stage=OPEN_TO_ALL, may_publish=True, checkpoint="main")
    finding_triage.triage(world.use, world.admin, number, FindingState.CONFIRMED, Severity.HIGH, answer="Thanks.")
    finding_releases.release(world.use, world.admin, number, ["birch-university"])
    made = attached(world, number)
    finding_triage.triage(world.use, world.admin2, number, FindingState.CONSIDERED)
    finding_attachments.open_url(world.use, world.person("unsigned"), number, made.id)
    finding_triage.answer(world.use, world.admin, number, "Thanks again.")
    clearances.revoke(world.use, world.admin, 1)
    report(world, title="Afterwards")
    report(world, world.person("publisher"), stage="gpt-2/1558M")
    issuing.issue(world.use, world.caller("uncleared"), world.order(OPEN_TO_ALL))
    assert found(world) == []


CHANGED: dict[str, tuple[str, str]] = {
    "a state": ("UPDATE findings SET state = 'closed'", "its state differs from the log"),
    "a severity": ("UPDATE findings SET severity = 'none'", "its severity differs from the log"),
    "a title": ("UPDATE findings SET title = 'Another'", "its text differs from the log"),
    "a text": ("UPDATE findings SET text = 'Another'", "its text differs from the log"),
    "an answer": ("UPDATE findings SET answer = 'Another'", "its answer differs from the log"),
    "a stage": ("UPDATE findings SET stage_id = 1", "its stage differs from the log"),
    "an embargo": ("UPDATE findings SET embargo_until = NULL", "its embargo differs from the log"),
    "a permission": ("UPDATE findings SET may_publish = false", "its permission to publish differs from the log"),
    "whose it is": ("UPDATE findings SET organization_id = 3", "its organization differs from the log"),
    "a reader": (
        "INSERT INTO finding_readers (organization_id, finding_id, since) VALUES (3, 1, '2026-01-01 00:00:00')",
        "its readers differs from the log",
    ),
    "an attachment": ("UPDATE finding_attachments SET sha256 = 'another'", "its attachments differs from the log"),
    "no reader": ("DELETE FROM finding_readers", "its readers differs from the log"),
}


@cases("what", CHANGED)
def test_a_row_that_the_log_does_not_explain_is_named(world: World, what: str) -> None:
    """Whoever changes a finding's row by hand changes what decisions rest on, or who reads it."""
    report(world, may_publish=True, embargo_until=world.clock().date().replace(year=2027))
    attached(world, 1)
    assert found(world) == []
    statement, sentence = CHANGED[what]
    world.tampered = True
    tampering.run(world.settings.database_url, statement)
    assert found(world) == [("findings 1", sentence)]
