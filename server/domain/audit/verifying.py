"""Verifying: all that is stored of all logs, from the first entry on: bytes, meaning, links from log to log, anchors.

A log that was abandoned keeps its faults for ever: they are told, and known, because the log after it begins with the
entry that says so.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import orjson
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from server.domain import acts, long_texts
from server.domain.audit import live_tables, log_rows, logs, replay
from server.domain.audit.archives import ArchivedRecords, Source
from server.domain.audit.judging.world import Record
from server.domain.audit.replay import Replay
from server.domain.callers import Caller
from server.domain.entry_kinds import EntryKind
from server.domain.errors import NotPossible
from server.domain.permissions import Permission
from server.domain.resources import Resources
from server.log import anchors, authority, verification
from server.log.anchors import BehindAnchor
from server.log.entries import Log, LogEntry
from server.log.notes import NotAKey, VerifierKey
from server.log.sealing import LogHead, newest_head
from server.log.verification import Fault, MissingEntries
from server.storage import keys
from server.storage.keys import KeyFileError

FAULTS_AT_MOST = 1000  # kept; where there are more, one sentence says so
Progress = Callable[[str, int, int], None]  # what is verified, how much of it is done, how much there is


@dataclass
class Verified:
    """What was found of one log, or of the live tables.

    size: sealed entries. behind: a sentence, when a later head was anchored. notes: what could not be compared.
    unread: how many records of archived months were not read; on the newest log.
    """

    origin: str
    size: int = 0
    abandoned: bool = False
    faults: list[Fault] = field(default_factory=list)
    behind: str | None = None
    notes: list[str] = field(default_factory=list)
    unread: int = 0

    def add(self, found: Iterator[Fault]) -> None:
        for fault in found:
            if len(self.faults) == FAULTS_AT_MOST:
                self.faults.append(Fault(f"log {self.origin}", "it has more faults that are not listed"))
                return
            self.faults.append(fault)


@dataclass(frozen=True, slots=True)
class Resumed:
    """A log that goes on. notes: what could not be compared."""

    origin: str
    notes: list[str]


def verify(
    use: Resources, progress: Progress = lambda *_: None, *, tables: bool = False, months: Source | None = None
) -> list[Verified]:
    """Verify every log, oldest first; with `tables` the live tables against them, as part of the newest log.

    months: where the records of archived months are read back from; without, a note says how many were not read.
    Raises ObjectStoreError when the anchors cannot be read, DatabaseUnavailable.
    """
    with use.database.reading() as session, ArchivedRecords(session, months) as records:
        all_logs = session.scalars(select(Log).order_by(Log.id)).all()
        found, world = [Verified(log.origin) for log in all_logs], Replay(use.settings.second_person_tier)
        for place, (log, result) in enumerate(zip(all_logs, found, strict=True)):
            before = all_logs[place - 1] if place else None
            is_last = place == len(all_logs) - 1
            newest = newest_head(session, log.id)
            result.size = newest.size if newest else 0
            result.abandoned = not is_last and bool(first_record(session, all_logs[place + 1]).get("abandoned"))
            result.add(_bytes(session, log, progress))
            if is_last:
                result.add(_key_file_fault(use, log))
            result.add(_link_faults(session, before, log))
            after = None if is_last else first_record(session, all_logs[place + 1])
            first, last = (_record_at(session, log, first=end) for end in (True, False))
            result.add(log_rows.faults(log, first, last, after))
            told = _meaning(log, result, progress)
            result.add(replay.verify(session, log, use.settings.second_person_tier, world, told, records))
            result.notes += world.notes
            world.notes.clear()
            progress(f"{log.name}: meaning", result.size, result.size)
        if found:
            found[-1].notes += records.notes()
            found[-1].unread = records.unread
        if tables and found:
            found[-1].add(live_tables.differences(session, world))
            found[-1].notes += live_tables.not_compared(world)
    for log, result in zip(all_logs, found, strict=True):
        _anchored(use, log, result, progress)
    return found


def first_record(session: Session, log: Log) -> Record:
    """The record of a log's first entry; empty for a log without any, and for a record that cannot be read."""
    return _record_at(session, log, first=True)


def resume(
    use: Resources,
    caller: Caller,
    because: str,
    progress: Progress = lambda *_: None,
    *,
    months: Source | None = None,
) -> Resumed:
    """Let a stopped log go on, once all of it verifies. months: as of `verify`. Raises NotPossible, BehindAnchor."""
    caller.require(Permission.LOG_MANAGE)
    require_reason(because)
    with use.database.reading() as session:
        if logs.current(session).stop_reason is None:
            raise NotPossible(
                "The log is not stopped.", next_step="Run `weightgate-server log status` to see its state."
            )
    found = verify(use, progress, months=months)
    require_whole(found)
    owner = use.as_owner()
    try:
        with owner.database.transaction() as session:
            log = locked(session)
            at = use.clock()
            record = {
                "actor": caller.as_record(), "origin": log.origin, "stopped": log.stop_reason, "because": because,
            }  # fmt: skip
            log.stop_reason = log.stopped_at = None
            acts.append(session, EntryKind.LOG_RESUME, at, record, log_id=log.id)
            return Resumed(log.origin, [note for result in found for note in result.notes])
    finally:
        owner.close()


def locked(session: Session) -> Log:
    """The log that is appended to now, kept from all who append or seal until the transaction ends."""
    authority.hold_alone(session)
    log = session.get_one(Log, logs.current(session).id, with_for_update=True, populate_existing=True)
    if log.closed_at is not None:
        raise NotPossible("The log has just been closed.", next_step="Check `weightgate-server log status` first.")
    return log


def require_reason(because: str) -> None:
    long_texts.require(because, "a reason, which is recorded in the log")


def require_whole(found: list[Verified]) -> None:
    """Raise NotPossible when anything is wrong that is not known, BehindAnchor when that is an older backup."""
    for result in found:
        if result.abandoned:
            continue
        if result.behind is not None:
            raise BehindAnchor(result.behind)
        # A ghost read is for people to look into; nothing of the log itself is wrong.
        if fault := next((fault for fault in result.faults if fault.sentence != replay.GHOST_READ), None):
            raise NotPossible(
                f"The log {result.origin} has faults: {fault.row}: {fault.sentence}.",
                next_step="`weightgate-server log verify` lists every fault. See deploy/README.md for what to do.",
            )


def _meaning(log: Log, result: Verified, progress: Progress) -> Callable[[int], None]:
    return lambda done: progress(f"{log.name}: meaning", min(done, result.size), result.size)


def _bytes(session: Session, log: Log, progress: Progress) -> Iterator[Fault]:
    try:
        key = VerifierKey.parse(log.vkey)
        yield from verification.verify(
            session, log, key, lambda done, total: progress(f"{log.name}: bytes", done, total)
        )
    except NotAKey as error:
        yield Fault(f"log {log.origin}", f"its key cannot be read: {error}")
    except MissingEntries as error:
        yield Fault(f"log {log.origin}", str(error))


def _key_file_fault(use: Resources, log: Log) -> Iterator[Fault]:
    """A key in the database that is not the key file's, where this process may read that file, was put there."""
    try:
        own = keys.read_note_key(use.settings.log_key_file).public_key().public_bytes_raw()
        if own != VerifierKey.parse(log.vkey).public:
            yield Fault(f"log {log.origin}", "its key differs from the key file")
    except (KeyFileError, NotAKey):
        return


def _link_faults(session: Session, before: Log | None, log: Log) -> Iterator[Fault]:
    """What a log's first entry says of its keys and of the log before it, and that one's last entry of this log."""
    first, where = first_record(session, log), f"log {log.origin}"
    named = {"vkey": log.vkey, "receipt_vkey": log.receipt_vkey}
    if before is None:  # the first log of an instance from before logs had keys does not name them
        if any(first.get(name, vkey) != vkey for name, vkey in named.items()):
            yield Fault(where, "its first entry names different keys")
        return
    if first.get("kind") != EntryKind.LOG_OPEN or any(first.get(name) != value for name, value in named.items()):
        yield Fault(where, "its first entry does not open the log with its keys")
    if first.get("before") != before.origin or not _is_a_head_of(session, before, first):
        yield Fault(where, f"its first entry does not contain the last head of {before.origin}")
    if not first.get("abandoned"):
        last = _record_at(session, before, first=False)
        if last.get("kind") != EntryKind.LOG_CLOSE or any(
            last.get(n) != v for n, v in {"next": log.origin, **named}.items()
        ):
            yield Fault(f"log {before.origin}", f"its last entry does not name {log.origin} and its keys")


def _is_a_head_of(session: Session, log: Log, opening: Record) -> bool:
    """Whether the note in a later log's first entry is the log's newest head; any head kept, where it was abandoned."""
    note = opening.get("head")
    if opening.get("abandoned"):
        query = select(LogHead.id).where(LogHead.log_id == log.id, LogHead.note == note)
        return note is None or session.scalar(query) is not None
    newest = newest_head(session, log.id)
    return newest is not None and newest.note == note


def _record_at(session: Session, log: Log, *, first: bool) -> Record:
    query = select(LogEntry.record).where(LogEntry.log_id == log.id)
    places = select(func.min(LogEntry.leaf_index) if first else func.max(LogEntry.leaf_index))
    place = session.scalar(places.where(LogEntry.log_id == log.id))
    if place is not None:
        query = query.where(LogEntry.leaf_index == place)
    else:
        query = query.order_by(LogEntry.id if first else LogEntry.id.desc())
    try:
        record = orjson.loads(session.scalar(query.limit(1)) or b"{}")
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def _anchored(use: Resources, log: Log, result: Verified, progress: Progress) -> None:
    """Compare every anchor of a log with the heads that are kept of it."""
    kept = None if use.anchor_bucket is None else anchors.sizes(use.anchor_bucket, log.origin)
    with use.database.reading() as session:  # after the anchors: what was written since is not held against it
        result.add(log_rows.anchored_faults(session, log, kept, use.clock()))
    if use.anchor_bucket is None:
        return

    def root_at(size: int) -> bytes | None:
        """Asked after the anchors were listed: whatever was anchored by then had been stored before."""
        with use.database.reading() as session:
            query = select(LogHead.root).where(LogHead.log_id == log.id, LogHead.size == size)
            return session.scalar(query)

    told = f"{log.name}: anchors"
    for size in anchors.differing(use.anchor_bucket, log.origin, root_at, lambda *done: progress(told, *done)):
        with use.database.reading() as session:
            newest = newest_head(session, log.id)
        if newest is None or size > newest.size:
            result.behind = (
                f"the log {log.origin} has {newest.size if newest else 0} entries, but {size} were anchored: "
                "an older backup was restored"
            )
        else:
            result.add(
                iter([Fault(f"head of size {size}", "a different head was anchored: the log has two histories")])
            )
