"""What the log means: the acts in it are replayed, and those before it must have allowed each, to whoever acted.

This restates the access rule and the policy from the entries alone, apart from the tables that decided: an entry that
was written past the rule, or a table that was changed behind the log's back, shows as an act that nothing in the log
allowed.
"""

from collections.abc import Callable, Generator, Iterator
from typing import NamedTuple

import orjson
from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session

from server import dates
from server.domain.audit import columns
from server.domain.audit.archives import ArchivedRecords, ArchiveFault, Emptied
from server.domain.audit.judging import actors, people, rules
from server.domain.audit.judging.world import JudgedByNothing, Record, Rule, World
from server.domain.entry_kinds import EntryKind
from server.log import archived
from server.log.entries import Log, LogEntry, name_of
from server.log.verification import Fault, column_fault
from server.storage.statements import Statement

GHOST_READ = "it reports a file read without a matching entry: the signing key may be compromised"
BACK_AT_MOST_MS = 60_000  # clocks of several machines may differ by so much
ROWS_AT_ONCE = 2000
# Before those who act were judged, what tells of them could be erased.
_WHO = tuple(kind for kind in people.RULES if kind.partition(".")[0] in {"person", "token", "invitation"})


def _alarm(_: World, record: Record) -> Iterator[str]:
    if record["alarm"] == "ghost_read":
        yield GHOST_READ


def _erase(world: World, record: Record) -> Iterator[str]:
    if record["erased"] in JUDGING and (world.is_recent or record["erased"] not in _WHO):
        yield "it erases an entry that is needed to verify others"
    if (at := record.get("columns", {}).get("time")) is not None:
        world.erasures[archived.month_of(dates.of_milliseconds(at))] += 1


def _clock_acknowledge(world: World, record: Record) -> Iterator[str]:
    if record["ahead_until"] != world.last_ms:
        yield "it explains times ahead of the clock that no entry has"
    ahead_seconds = (world.last_ms - record["time"]) // 1000
    world.notes.append(
        f"entries are dated up to {ahead_seconds} s ahead of time, until {_minute(world.last_ms)}; explained by "
        f"{record['actor'].get('person')} on {_minute(record['time'])}: {record['because']}"
    )
    world.last_ms = record["time"]


def _minute(time_ms: int) -> str:
    return dates.minute(dates.of_milliseconds(time_ms))


RULES: dict[EntryKind, Rule | JudgedByNothing] = {
    **rules.RULES,
    EntryKind.ALARM: _alarm,
    EntryKind.ALARM_RESOLVE: JudgedByNothing("because the alarm itself stays"),
    EntryKind.RECONCILIATION: JudgedByNothing("because it is only a count"),
    EntryKind.HEARTBEAT: JudgedByNothing("because it contains only its time"),
    EntryKind.ENTRY_ERASE: _erase,
    EntryKind.CLOCK_ACKNOWLEDGE: _clock_acknowledge,
    EntryKind.LOG_CLOSE: JudgedByNothing(
        "because the end of one log and the start of the next are compared with both logs"
    ),
    EntryKind.LOG_RESUME: JudgedByNothing("because the log does not contain what stopped it"),
    EntryKind.LOG_EXPORT: JudgedByNothing("because reading changes nothing"),
    EntryKind.EVIDENCE_EXPORT: JudgedByNothing("because reading changes nothing"),
}
BACK = "its time is more than a minute before that of an entry sealed earlier"
_BY_TEXT = {str(kind): (kind, rule) for kind, rule in RULES.items()}
_CHANGING_NOTHING = {
    EntryKind.DOWNLOAD, EntryKind.ALARM, EntryKind.ENTRY_ERASE, EntryKind.CHECKPOINT_PUBLISH, EntryKind.PASSWORD_RESET,
    EntryKind.CHECKPOINT_SET_MAIN, EntryKind.FINDING_OPEN, EntryKind.HOLD_CUT,
    EntryKind.ACCESS_REQUEST_CREATE, EntryKind.ACCESS_REQUEST_WITHDRAW, EntryKind.PERSON_PASSWORD_CHANGE,
    EntryKind.PERSON_FACTOR_ADD, EntryKind.PERSON_FACTOR_NAME,
    EntryKind.PERSON_FACTOR_REMOVE, EntryKind.PERSON_FACTOR_REPLACE,
}  # fmt: skip
_SETTING_MAIN = {EntryKind.CHECKPOINT_PUBLISH, EntryKind.CHECKPOINT_SET_MAIN}
# Kinds by which other entries are judged: what they say must stay.
JUDGING = frozenset(
    kind for kind, rule in RULES.items() if not isinstance(rule, JudgedByNothing) and kind not in _CHANGING_NOTHING
)


class Row(NamedTuple):
    """What is replayed of an entry."""

    id: int
    leaf_index: int | None
    record: bytes
    kind: str
    subject: str | None
    organization_id: int | None
    person: str | None
    stage: str | None
    code: str | None


_ROWS = select(
    LogEntry.id, LogEntry.leaf_index, LogEntry.record, LogEntry.kind, LogEntry.subject, LogEntry.organization_id,
    LogEntry.person, LogEntry.stage, LogEntry.code,
).where(LogEntry.log_id == bindparam("log_id"))  # fmt: skip
_SEALED = Statement(  # a million rows go through it
    _ROWS.where(LogEntry.leaf_index > bindparam("place")).order_by(LogEntry.leaf_index).limit(ROWS_AT_ONCE), Row
)
_EMPTIED = select(*(getattr(LogEntry, name) for name in Emptied._fields))
_UNSEALED = Statement(_ROWS.where(LogEntry.leaf_index.is_(None)).order_by(LogEntry.id), Row)


class Replay(World):
    """The world as the log tells it; `take` moves it on by one entry and yields what cannot be.

    is_back: whether the entry that was taken last is dated more than a minute before an earlier one.
    """

    is_back = False

    def take(self, record: Record, place: int | None = None) -> Iterator[str]:
        """Yield a sentence for everything that this entry says and that the ones before it do not allow."""
        self.place = place
        self.is_back = record["time"] < self.last_ms - BACK_AT_MOST_MS
        if record["kind"] != EntryKind.CLOCK_ACKNOWLEDGE:  # its rule looks at the time that it explains
            self.last_ms = max(self.last_ms, record["time"])
        known = _BY_TEXT.get(record["kind"])
        if known is None:
            yield f"its kind {record['kind']} is unknown"
            return
        kind, rule = known
        yield from actors.faults(self, kind, record)
        if not isinstance(rule, JudgedByNothing):
            yield from rule(self, record)


def verify(
    session: Session,
    log: Log,
    second_person_tier: str,
    replay: Replay | None = None,
    progress: Callable[[int], None] = lambda _: None,
    records: ArchivedRecords | None = None,
) -> Iterator[Fault]:
    """Yield every sealed or young entry whose act was not allowed, or whose row is found where its record is not.

    replay: the state at the end of the log before, when this one continues it. progress: entries replayed. records:
    gives back those of rows that were archived; without it, those are passed over.
    """
    replay = replay or Replay(second_person_tier)
    replay.origins.append(log.origin)
    erased: dict[int, Emptied] = {}
    back: list[Fault] = []  # until an entry explains that a clock was wrong
    for count, (row, emptied) in enumerate(_with_emptied(session, log)):
        if count % ROWS_AT_ONCE == 0:
            progress(count)
        if emptied is not None and emptied.salt:
            row = yield from _read_back(log, row, emptied, records)
        elif emptied is not None:
            erased[row.id] = emptied
            _pass_over(replay, row)
        if not row.record:
            continue
        try:
            record = columns.completed(replay, row, orjson.loads(row.record))
            for sentence in replay.take(record, row.leaf_index):
                yield Fault(name_of(row.id, row.leaf_index), sentence)
            if record["kind"] == EntryKind.CLOCK_ACKNOWLEDGE:
                back.clear()
            elif replay.is_back:
                back.append(Fault(name_of(row.id, row.leaf_index), BACK))
            for sentence in columns.faults(replay, row, record, erased) if record["kind"] in _BY_TEXT else ():
                yield Fault(name_of(row.id, row.leaf_index), sentence)
        except (KeyError, TypeError, AttributeError, ValueError):
            yield Fault(name_of(row.id, row.leaf_index), "its record does not have the fields of its kind")
    yield from back


def _read_back(log: Log, row: Row, emptied: Emptied, records: ArchivedRecords | None) -> Generator[Fault, None, Row]:
    """Return an archived row with its record, or as it is where that is not read; yield what is wrong with it."""
    try:
        record = None if records is None else records.read(log.origin, emptied)
    except ArchiveFault as fault:
        yield Fault(fault.row, str(fault))
        return row
    if record is None:
        return row
    if (wrong := column_fault(emptied._replace(record=record))) is not None:
        yield wrong
    return row._replace(record=record)


def _pass_over(replay: Replay, row: Row) -> None:
    """Keep in mind what an erased entry may have told."""
    if row.kind in JUDGING:
        replay.forgotten.add(row.kind.partition(".")[0])
    elif row.kind in _SETTING_MAIN and row.stage and row.subject:  # the columns, which stay, say as much
        replay.set_main(row.stage, row.subject)


def _parts(session: Session, log: Log) -> Iterator[list[Row]]:
    """Every entry in the tree's order, then the unsealed ones in that of their ids; in bounded memory.

    One that was emptied has no record: that it may be is `log/verification.py`'s to say.
    """
    place = -1
    while part := _SEALED.all(session, log_id=log.id, place=place):
        yield part
        place = part[-1].leaf_index or 0
    yield _UNSEALED.all(session, log_id=log.id)


def _with_emptied(session: Session, log: Log) -> Iterator[tuple[Row, Emptied | None]]:
    """The same, each with what is left of it where it has no record; asked for as many at a time."""
    for part in _parts(session, log):
        emptied = {}
        if ids := [row.id for row in part if not row.record]:
            within = LogEntry.log_id == log.id, LogEntry.id >= min(ids), LogEntry.id <= max(ids)
            query = _EMPTIED.where(*within, func.length(LogEntry.record) == 0)
            emptied = {found.id: Emptied(*found) for found in session.execute(query)}
        for row in part:
            yield row, emptied.get(row.id)
