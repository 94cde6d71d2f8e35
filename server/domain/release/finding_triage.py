"""Triage: an admin says how far the lab has got with a finding, how bad it is, and answers its reporter."""

from datetime import datetime

from sqlalchemy.orm import Session

from server.domain.callers import Caller
from server.domain.entry_kinds import EntryKind
from server.domain.errors import NotFound, NotPossible
from server.domain.mail import finding_notices
from server.domain.permissions import Permission
from server.domain.release import findings
from server.domain.release.findings import TRANSITIONS, Finding, FindingKind, FindingState, Severity
from server.domain.resources import Resources

WORDS = {
    FindingState.OPEN: "not triaged yet",
    FindingState.CONFIRMED: "confirmed",
    FindingState.NOT_REPRODUCED: "not reproduced",
    FindingState.CONSIDERED: "considered",
    FindingState.CLOSED: "closed",
}


def triage(
    use: Resources,
    caller: Caller,
    finding_id: int,
    to: FindingState,
    severity: Severity | None = None,
    answer: str | None = None,
) -> Finding:
    """Move a finding on, or change its severity where it is, and answer; its reporter is told by mail.

    Raises NotPossible for a state that does not follow, and where nothing would change.
    """
    caller.require(Permission.FINDING_TRIAGE)
    said = None if answer is None else _checked(answer)
    with use.database.transaction() as session:
        finding = _locked(session, finding_id)
        _require_new(finding, said)
        at, before, severity_before = use.clock(), FindingState(finding.state), Severity(finding.severity)
        severity = severity or severity_before
        changes = (to, severity) != (before, severity_before)
        if changes:
            _require_possible(finding, to, severity)
            finding.state, finding.severity = to, severity
            finding.triaged_by, finding.triaged_at = caller.person_id, at
        elif said is None:
            raise NotPossible(f"Finding {finding_id} is already {WORDS[to]}, with that severity.")
        told = f"It is {WORDS[to]}, and its severity is {severity}." if changes else None
        finding_notices.moved_on(session, use, finding.id, finding.reporter, told, said, at)
        if changes:
            findings.record(
                session, caller, EntryKind.FINDING_TRIAGE, finding, at,
                before=before, to=to, severity_before=severity_before, severity=severity,
            )  # fmt: skip
        if said is not None:
            _answer(session, caller, finding, said, at)
        return finding


def answer(use: Resources, caller: Caller, finding_id: int, words: str) -> None:
    """Answer a finding, in Markdown, in whatever state it is. A later answer takes the place of an earlier one."""
    caller.require(Permission.FINDING_TRIAGE)
    said = _checked(words)
    with use.database.transaction() as session:
        finding, at = _locked(session, finding_id), use.clock()
        _require_new(finding, said)
        finding_notices.moved_on(session, use, finding.id, finding.reporter, None, said, at)
        _answer(session, caller, finding, said, at)


def _answer(session: Session, caller: Caller, finding: Finding, said: str, at: datetime) -> None:
    finding.answer, finding.answered_by, finding.answered_at = said, caller.person_id, at
    sha256 = findings.sha256_of(said)
    findings.record(session, caller, EntryKind.FINDING_ANSWER, finding, at, answer_sha256=sha256)


def _require_new(finding: Finding, said: str | None) -> None:
    """The same answer, sent twice by a double click, is one mail."""
    if said is not None and said == finding.answer:
        raise NotPossible(f"Finding {finding.id} was answered with these words already.")


def _checked(answer: str) -> str:
    return findings.require_text(answer, "an answer, which the reporter can read")


def _locked(session: Session, finding_id: int) -> Finding:
    """The finding, locked after its model's row: whoever decides about the model reads it before or after this."""
    known = session.get(Finding, finding_id)
    if known is None:
        raise NotFound(f"There is no finding {finding_id}.")
    findings.lock_model(session, known.model_id)
    return session.get_one(Finding, finding_id, with_for_update=True, populate_existing=True)


def _require_possible(finding: Finding, to: FindingState, severity: Severity) -> None:
    before = FindingState(finding.state)
    can = TRANSITIONS[before]
    if not can or (to != before and to not in can):
        words = " or ".join(WORDS[state] for state in FindingState if state in can) or "nothing else"
        raise NotPossible(
            f"Finding {finding.id} is {WORDS[before]}: it can become {words}.",
            next_step="If there is something new to say about it, report another finding.",
        )
    if finding.kind == FindingKind.NOTHING_FOUND and severity != Severity.NONE:
        raise NotPossible(
            "A report that nothing was found has the severity none.", next_step="Leave the severity at none."
        )
