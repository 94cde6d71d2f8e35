"""Erasure: where the law demands it, an entry's record, salt and person are emptied; its place in the tree stays.

The entry that tells of the erasure is sealed before anything is emptied: verification takes an emptied row for a fault
unless a sealed entry says so.
"""

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
from server.log.entries import Log, LogEntry

# What other entries are judged by, and what tells of the log itself.
KEPT_FAMILIES = frozenset({"log", "entry", "instance", "key"})


@dataclass(frozen=True, slots=True)
class Erased:
    """What was emptied."""

    entry_id: int
    kind: str


def erase(use: Resources, caller: Caller, which: str, because: str) -> Erased:
    """Empty an entry, named by its id or as a download's, and leave an entry that says so.

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
            _empty(session, owner, entry)
            return Erased(entry.id, entry.kind)
    finally:
        owner.close()


def may_be_erased(kind: str) -> bool:
    return kind not in replay.JUDGING and kind.partition(".")[0] not in KEPT_FAMILIES


def _find(session: Session, which: str) -> LogEntry:
    query = select(LogEntry)
    if issuing.ID.fullmatch(which):
        query = query.where(LogEntry.subject == which, LogEntry.kind == EntryKind.DOWNLOAD)
    elif which.isascii() and which.isdigit() and len(which) < 19:
        query = query.where(LogEntry.id == int(which))
    else:
        raise NotFound(f"{which} is not an entry ID or a download ID.")
    entry = session.scalar(query)
    if entry is None:
        raise NotFound(f"There is no entry {which}.")
    return entry


def _require_erasable(entry: LogEntry) -> None:
    if not may_be_erased(entry.kind):
        raise NotPossible(f"An entry of kind {entry.kind} is needed to verify other entries, so it cannot be erased.")
    if entry.leaf_index is None:
        raise NotPossible(f"Entry {entry.id} is not sealed yet.", next_step="Try again in a minute.")
    if not entry.record:
        raise NotPossible(f"Entry {entry.id} has already been erased.")


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
    if session.scalar(select(func.length(LogEntry.record)).where(LogEntry.id == entry.id)):
        raise NotPossible(f"Entry {entry.id} could not be erased.")
