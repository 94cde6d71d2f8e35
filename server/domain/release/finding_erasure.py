"""Erasing a finding's words where the law demands it: title, text, answer, attachments. That it was reported stays."""

from sqlalchemy import select

from server.domain import long_texts
from server.domain.callers import Caller
from server.domain.entry_kinds import EntryKind
from server.domain.errors import NotFound, NotPossible
from server.domain.permissions import Permission
from server.domain.release import findings
from server.domain.release.finding_attachments import FindingAttachment
from server.domain.release.findings import Finding
from server.domain.resources import Resources

ERASED = "Erased"  # in the place of title and text


def erase(use: Resources, caller: Caller, finding_id: int, because: str) -> None:
    """Take the words out of the row and the files out of the store, and leave an entry that says so.

    The log never had the words, only their hash, which nobody can check any more. Raises NotFound, NotPossible.
    """
    caller.require(Permission.LOG_ERASE)
    because = long_texts.require(because, "a reason, which is recorded in the log; do not name the person in it")
    with use.database.transaction() as session:
        finding = session.get(Finding, finding_id, with_for_update=True)
        if finding is None:
            raise NotFound(f"There is no finding {finding_id}.")
        if finding.text == ERASED:
            raise NotPossible(f"Finding {finding_id} was erased already.")
        files = session.scalars(select(FindingAttachment).where(FindingAttachment.finding_id == finding_id)).all()
        for file in files:
            session.delete(file)
        finding.title, finding.text = ERASED, ERASED
        finding.answer = None if finding.answer is None else ERASED
        findings.record(session, caller, EntryKind.FINDING_ERASE, finding, use.clock(), because=because)
    # If we crash here, a file stays in the store that no row names any more: nobody is given a URL for it.
    if files and use.attachments is not None:
        for file in files:
            use.attachments.delete(file.object_key)
