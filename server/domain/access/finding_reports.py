"""Reporting findings: who may report on a stage, what a report says, and who then sees it."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from server.domain.access import facts
from server.domain.access.facts import Facts, StageFacts
from server.domain.callers import Caller
from server.domain.entry_kinds import EntryKind
from server.domain.errors import InvalidRequest, NotCleared, NotFound, NotPossible
from server.domain.identity import authentication
from server.domain.identity.people import Person
from server.domain.mail import finding_notices
from server.domain.paging import every
from server.domain.permissions import Permission
from server.domain.publish import checkpoints
from server.domain.publish.checkpoints import Checkpoint
from server.domain.release import findings
from server.domain.release.findings import Finding, FindingKind, FindingReader, FindingState, Severity
from server.domain.release.stages import Model, Stage, StageState
from server.domain.resources import Resources
from server.log.entries import LogEntry
from server.text import printable

EMBARGO_AT_MOST = timedelta(days=366)
SAME_WITHIN = timedelta(minutes=1)  # a report that was sent twice, by a client or a person that did not wait
REPORTED_A_DAY_AT_MOST = 50  # by one organization: each is a mail to every admin


@dataclass(frozen=True, slots=True)
class Report:
    """What somebody reports. stage: `model/stage`; checkpoint: its id or `main`; text: Markdown."""

    stage: str
    kind: FindingKind
    severity: Severity
    title: str
    text: str
    checkpoint: str | None = None
    embargo_until: date | None = None  # the first day on which others may be told
    may_publish: bool = False  # the lab may release it to other partners
    may_name: bool = False  # and then say whose it is


def report(use: Resources, caller: Caller, given: Report) -> Finding:
    """Report a finding on a stage that one's organization has, or had, access to.

    Raises InvalidRequest, NotFound, NotCleared, or NotPossible for the same report within a minute.
    """
    caller.require(Permission.FINDING_CREATE)
    title, text = _title(given.title), findings.require_text(given.text, "what you found")
    if given.kind == FindingKind.NOTHING_FOUND and given.severity != Severity.NONE:
        raise NotPossible(
            "A report that nothing was found has the severity none.", next_step="Leave the severity at none."
        )
    with use.database.transaction() as session:
        found = facts.find_stage(session, given.stage)
        if found is not None and given.severity == Severity.CRITICAL:
            findings.lock_model(session, found.model_id)
        session.get_one(Person, caller.person_id, with_for_update={"key_share": True})  # of two at once, one is second
        if found is not None:
            _lock_stage(session, found)
        stage = _reportable(session, use, caller, given.stage)
        at = use.clock()
        _require_embargo(given.embargo_until, at)
        finding = Finding(
            model_id=stage.model_id, stage_id=stage.id, checkpoint_id=_checkpoint(session, stage, given.checkpoint),
            organization_id=caller.organization_id, reported_by=caller.person_id, reported_at=at, kind=given.kind,
            severity=given.severity, title=title, text=text, text_sha256=findings.sha256_of(title, text),
            embargo_until=given.embargo_until, may_publish=given.may_publish, may_name=given.may_name,
            state=FindingState.OPEN,
        )  # fmt: skip
        _require_not_sent(session, finding)
        _require_few(session, finding)
        session.add(finding)
        session.flush()
        session.add(FindingReader(organization_id=finding.organization_id, finding_id=finding.id, since=at))
        _tell(session, use, finding)
        findings.record(session, caller, EntryKind.FINDING_REPORT, finding, at, **_told(finding))
        return finding


def reportable(session: Session, use: Resources, caller: Caller) -> list[StageFacts]:
    """The stages that a form offers: those that the caller's organization may report on, but for old downloads."""
    caller.require(Permission.FINDING_CREATE)
    listed = facts.Listed.ALL if caller.is_staff else facts.Listed.KNOWN
    known = every(lambda part: facts.list_stages(session, part, listed))
    at = use.clock()
    return [
        one
        for one, all_of in zip(known, facts.gather_all(session, caller, known), strict=True)
        if _had(all_of, one, at)
    ]


def may_report(session: Session, gathered: Facts, at: datetime) -> bool:
    """Whether an organization has, or once had, access to a stage: what it took stays with it when access ends.

    A clearance counts from its first moment, also when it has ended, and without a signature; so does a download from
    when the stage was public.
    """
    stage = gathered.stage
    return stage is not None and (_had(gathered, stage, at) or _has_downloaded(session, gathered.caller, stage))


def _had(gathered: Facts, stage: StageFacts, at: datetime) -> bool:
    if gathered.caller.is_staff or stage.state == StageState.PUBLIC:
        return True
    return any(
        one.approved_at is not None and one.model_id == stage.model_id and one.rank >= stage.rank
        and one.starts_at <= at and (one.revoked_at is None or one.revoked_at > one.starts_at)
        for one in gathered.clearances
    )  # fmt: skip


def _reportable(session: Session, use: Resources, caller: Caller, name: str) -> StageFacts:
    """The stage, by the facts of the access rule; a hold or a withdrawal is no reason not to hear of it."""
    authentication.standing(session, caller, lock=True)
    gathered = facts.gather(session, caller, facts.find_stage(session, name))
    at, stage = use.clock(), gathered.stage
    if fault := authentication.fault(gathered.standing, caller, at):
        raise fault
    if stage is None or (stage.state == StageState.PLANNED and not caller.is_staff):
        raise NotFound("This stage does not exist, or has not been released yet.")
    if not may_report(session, gathered, at):
        raise NotCleared(
            f"Your organization never had access to {stage.model}/{stage.name}, so it cannot report on it.",
            next_step="Report on a stage that you could download, or write to {contact}.",
        )
    return stage


def _lock_stage(session: Session, stage: StageFacts) -> None:
    """Keep its state until the report is committed; the model first, as for whoever edits a stage.

    The rows, and not all that a decision rests on (`log/authority.py`): whoever changes a row that the report names
    would wait for the report at their commit, and the report for their row.
    """
    for table, key in ((Model, stage.model_id), (Stage, stage.id)):
        session.scalars(select(table.id).where(table.id == key).with_for_update(read=True)).all()


def _has_downloaded(session: Session, caller: Caller, stage: StageFacts) -> bool:
    name = f"{stage.model}/{stage.name}"
    query = select(LogEntry.id).where(LogEntry.organization_id == caller.organization_id, LogEntry.stage == name)
    return session.scalar(query.where(LogEntry.kind == EntryKind.DOWNLOAD).limit(1)) is not None


def _checkpoint(session: Session, stage: StageFacts, name: str | None) -> str | None:
    if name is None:
        return None
    return session.get_one(
        Checkpoint, checkpoints.find(session, stage.id, stage.main_checkpoint_id, name)
    ).checkpoint_id


def _tell(session: Session, use: Resources, finding: Finding) -> None:
    what = f"{finding.kind.replace('_', ' ')}, {finding.severity}: {finding.stage.full_name}"
    finding_notices.reported(
        session, use, finding.id, finding.organization.name, what, finding.title, finding.reported_at,
        is_critical=finding.severity == Severity.CRITICAL,
    )  # fmt: skip


def _title(title: str) -> str:
    title = title.strip()
    if not title or len(title) > findings.TITLE_CHARACTERS_AT_MOST or printable(title) != title:
        raise InvalidRequest(f"Enter a title, in {findings.TITLE_CHARACTERS_AT_MOST} characters or fewer, on one line.")
    return title


def _require_embargo(until: date | None, at: datetime) -> None:
    if until is not None and not at.date() < until <= (at + EMBARGO_AT_MOST).date():
        raise NotPossible(
            "An embargo ends on a day after today, within a year.", next_step="Choose such a day, or none."
        )


def _require_not_sent(session: Session, finding: Finding) -> None:
    """Refuse what the same person has just reported in the same words."""
    same = session.scalar(
        select(Finding.id).where(
            Finding.organization_id == finding.organization_id, Finding.stage_id == finding.stage_id,
            Finding.reported_by == finding.reported_by, Finding.kind == finding.kind,
            Finding.severity == finding.severity, Finding.text_sha256 == finding.text_sha256,
            Finding.reported_at > finding.reported_at - SAME_WITHIN,
        )
    )  # fmt: skip
    if same is not None:
        raise NotPossible(
            f"You reported this already, as finding {same}.", next_step=f"Follow finding {same}: nothing was lost."
        )


def _require_few(session: Session, finding: Finding) -> None:
    lately = Finding.reported_at > finding.reported_at - timedelta(days=1)
    own = Finding.organization_id == finding.organization_id
    if (session.scalar(select(func.count()).where(own, lately)) or 0) >= REPORTED_A_DAY_AT_MOST:
        raise NotPossible(
            f"Your organization has reported {REPORTED_A_DAY_AT_MOST} findings within 24 hours.",
            next_step="Try again tomorrow. If it cannot wait, contact {contact}.",
        )


def _told(finding: Finding) -> dict[str, object]:
    told = {
        "about": finding.kind,
        "severity": finding.severity,
        "text_sha256": finding.text_sha256,
        "checkpoint": finding.checkpoint_id,
        "embargo_until": None if finding.embargo_until is None else str(finding.embargo_until),
        "may_publish": finding.may_publish,
        "may_name": finding.may_name,
    }
    return {key: value for key, value in told.items() if value is not None}
