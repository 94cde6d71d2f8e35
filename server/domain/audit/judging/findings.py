"""Rules for findings: who may report on which stage, how a finding moves on, and whom it may be released to."""

from collections.abc import Iterator

from server import dates
from server.domain.audit.judging.world import Finding, JudgedByNothing, Record, Rule, World
from server.domain.entry_kinds import EntryKind
from server.domain.release.findings import TRANSITIONS, FindingKind, FindingState, Severity
from server.domain.release.stages import StageState

UNKNOWN = "it is about a finding that was never reported"


def _report(world: World, record: Record) -> Iterator[str]:
    number, organization = record["finding"], record["organization"]
    if number in world.findings:
        yield "it reports a finding that already exists"
    if record["actor"].get("organization") != organization:
        yield "it reports a finding for a different organization"
    if FindingKind(record["about"]) == FindingKind.NOTHING_FOUND and record["severity"] != Severity.NONE:
        yield "it reports that nothing was found, with a severity"
    yield from _access_faults(world, record, organization)
    world.findings[number] = Finding(
        organization, record["stage"], Severity(record["severity"]), record["text_sha256"], record["may_publish"],
        record.get("embargo_until"),
    )  # fmt: skip


def _access_faults(world: World, record: Record, organization: str) -> Iterator[str]:
    """What access ever was is enough: a clearance that has begun, or a stage that is or was public.

    The rule itself asks of the latter for a download; that one may have been erased since.
    """
    name = record["stage"]
    stage = world.stages.get(name)
    if stage is None:
        yield "it reports on a stage that was never added"
    elif organization == world.lab or stage.was_public:
        return
    elif stage.state == StageState.PLANNED:
        yield "it reports on a stage that was not released"
    elif not any(
        one.approved and one.starts_at <= record["time"] and world.ranks.get(one.tier, -1) >= world.ranks[stage.tier]
        for one in world.clearances.values()
        if (one.organization, one.model) == (organization, name.partition("/")[0])
    ):
        yield "its reporter's organization never had access to that stage"


def _triage(world: World, record: Record) -> Iterator[str]:
    finding = world.findings.get(record["finding"])
    if finding is None:
        yield UNKNOWN
        return
    before, to = FindingState(finding.state), FindingState(record["to"])
    if (record["before"], record["severity_before"]) != (before, finding.severity):
        yield "it triages a finding from a state or severity that it did not have"
    if to != before and to not in TRANSITIONS[before]:
        yield f"a finding cannot move from {before} to {to}"
    if to == before and not TRANSITIONS[before]:
        yield f"it changes a finding that is {before}"
    finding.state, finding.severity = to, Severity(record["severity"])


def _answer(world: World, record: Record) -> Iterator[str]:
    finding = world.findings.get(record["finding"])
    if finding is None:
        yield UNKNOWN
        return
    finding.answer_sha256 = record["answer_sha256"]


def _release(world: World, record: Record) -> Iterator[str]:
    finding = world.findings.get(record["finding"])
    if finding is None:
        yield UNKNOWN
        return
    if not finding.may_publish:
        yield "it releases a finding that its reporter does not let others see"
    if finding.embargo_until is not None and _day(record["time"]) < finding.embargo_until:
        yield "it releases a finding before its embargo ends"
    finding.released_to |= set(record["to"])


def _attach(world: World, record: Record) -> Iterator[str]:
    finding = world.findings.get(record["finding"])
    if finding is None:
        yield UNKNOWN
        return
    if record["actor"].get("organization") != finding.organization:
        yield "it attaches a file to a finding of a different organization"
    finding.attachments[record["attachment"]] = record["sha256"]


def _erase(world: World, record: Record) -> Iterator[str]:
    finding = world.findings.get(record["finding"])
    if finding is None or finding.erased:
        yield "it erases a finding that was never reported, or was erased already"
        return
    finding.erased, finding.attachments = True, {}


def _open(world: World, record: Record) -> Iterator[str]:
    finding, organization = world.findings.get(record["finding"]), record["actor"].get("organization")
    if finding is None or record["attachment"] not in finding.attachments:
        yield "it opens an attachment that was never made"
    elif organization not in {world.lab, finding.organization, *finding.released_to}:
        yield "it opens an attachment for an organization that the finding was not released to"


def _day(time_ms: int) -> str:
    return dates.of_milliseconds(time_ms).date().isoformat()


RULES: dict[EntryKind, Rule | JudgedByNothing] = {
    EntryKind.FINDING_REPORT: _report,
    EntryKind.FINDING_TRIAGE: _triage,
    EntryKind.FINDING_ANSWER: _answer,
    EntryKind.FINDING_RELEASE: _release,
    EntryKind.FINDING_ATTACH: _attach,
    EntryKind.FINDING_OPEN: _open,
    EntryKind.FINDING_ERASE: _erase,
}
