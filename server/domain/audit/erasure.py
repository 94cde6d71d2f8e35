"""Erasure: where the law demands it, an entry's record, salt and person are emptied; its place in the tree stays.

The entry that tells of the erasure is sealed before anything is emptied: verification takes an emptied row for a fault
unless a sealed entry says so.
"""

import re
from dataclasses import dataclass

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from server.domain import acts
from server.domain.audit import columns, replay, verifying
from server.domain.callers import Caller
from server.domain.downloads import issuing
from server.domain.entry_kinds import EntryKind
from server.domain.errors import NotFound, NotPossible
from server.domain.permissions import Permission
from server.domain.resources import Resources
from server.log import sealing
from server.log.archived import archives, month_of
from server.log.entries import Log, LogEntry

# What other entries are judged by, and what tells of the log itself.
PLACE = re.compile(r"(?P<log>[A-Za-z0-9.-]{1,64})/(?P<place>[0-9]{1,18})")
AS_SHOWN = "Write the log's name and the entry's place in it, as in the address of its page, or the download's ID."
KEPT_FAMILIES = frozenset({"log", "entry", "instance", "key"})


@dataclass(frozen=True, slots=True)
class Erased:
    """What was emptied: `2027/71`. archived: the month in whose file its record still is."""

    place: str
    kind: str
    archived: str | None = None


def erase(use: Resources, caller: Caller, which: str, because: str) -> Erased:
    """Empty an entry, named by its place in a log or by its download, and leave an entry that says so.

    All in one transaction of the owner's role: the entry is appended, sealed, and only then is the other one emptied.
    Raises NotFound, NotPossible, SealingStopped, KeyFileError.
    """
    caller.require(Permission.LOG_ERASE)
    verifying.require_reason(because)
    owner = use.as_owner()
    try:
        with owner.database.transaction() as session:
            log = verifying.locked(session)
            entry = _find(session, which)
            _require_erasable(entry)
            if not _is_told(session, entry):
                _tell(session, owner, caller, log, entry, because)
            month = month_of(entry.appended_at)
            archived = month if month in archives(session) else None
            _empty(session, owner, entry)
            return Erased(f"{session.get_one(Log, entry.log_id).name}/{entry.leaf_index}", entry.kind, archived)
    finally:
        owner.close()


def may_be_erased(kind: str) -> bool:
    return kind not in replay.JUDGING and kind.partition(".")[0] not in KEPT_FAMILIES


def _find(session: Session, which: str) -> LogEntry:
    query = select(LogEntry)
    if issuing.ID.fullmatch(which):
        query = query.where(LogEntry.subject == which, LogEntry.kind == EntryKind.DOWNLOAD)
    elif (named := PLACE.fullmatch(which)) is not None:
        query = query.join(Log, Log.id == LogEntry.log_id)
        query = query.where(Log.name == named["log"], LogEntry.leaf_index == int(named["place"]))
    else:  # a bare number was once an entry's id: taken for a place, it would erase another one
        raise NotFound(f"{which} is neither an entry, such as 2027/71, nor a download ID.", next_step=AS_SHOWN)
    entry = session.scalar(query)
    if entry is None:
        raise NotFound(f"There is no entry {which}.")
    return entry


def _require_erasable(entry: LogEntry) -> None:
    if not may_be_erased(entry.kind):
        raise NotPossible(f"An entry of kind {entry.kind} is needed to verify other entries, so it cannot be erased.")
    if entry.leaf_index is None:
        raise NotPossible("This entry is not sealed yet.", next_step="Try again in a minute.")
    if not entry.record and not entry.salt:
        raise NotPossible("This entry has already been erased.")


def _is_told(session: Session, entry: LogEntry) -> bool:
    """Whether a sealed entry tells of it, from a run that did not come to its end."""
    told = select(LogEntry.id).where(LogEntry.kind == EntryKind.ENTRY_ERASE, LogEntry.subject == str(entry.id))
    return session.scalar(told.where(LogEntry.leaf_index.is_not(None)).limit(1)) is not None


def _tell(session: Session, owner: Resources, caller: Caller, log: Log, entry: LogEntry, because: str) -> None:
    at = owner.clock()
    record = {
        "actor": caller.as_record(), "entry": entry.id, "erased": entry.kind, "because": because,
        "columns": columns.kept_of(entry),
    }  # fmt: skip
    acts.append(session, EntryKind.ENTRY_ERASE, at, record, organization_id=entry.organization_id, log_id=log.id)
    signer = owner.log_signer(log.vkey)
    while sealing.seal_round(session, log, signer, at):
        session.flush()


def _empty(session: Session, owner: Resources, entry: LogEntry) -> None:
    if owner.database.dialect == "sqlite":
        session.connection().exec_driver_sql("PRAGMA secure_delete=ON").close()  # the freed bytes are overwritten
    emptied = update(LogEntry).where(LogEntry.id == entry.id).values(record=b"", salt=b"", person=None)
    session.execute(emptied.execution_options(synchronize_session=False))
    if session.scalar(select(func.length(LogEntry.salt)).where(LogEntry.id == entry.id)):
        raise NotPossible("This entry could not be erased.")
