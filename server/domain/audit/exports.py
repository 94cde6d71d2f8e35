"""Exports: every sealed entry with what opens its commitment, for an auditor who holds the public tree against it."""

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Literal

import orjson
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from server.domain import acts
from server.domain.audit import log_entries
from server.domain.audit.archives import ArchivedRecords, Source, require_none
from server.domain.audit.log_entries import EntryFilter
from server.domain.callers import Caller
from server.domain.entry_kinds import EntryKind
from server.domain.permissions import Permission
from server.domain.resources import Resources
from server.log.archived import KINDS
from server.log.entries import Log, LogEntry
from server.log.notes import encode_bytes
from server.storage.database import AnyRow

Format = Literal["jsonl", "csv"]
CHOSEN_AT_ONCE = 100
ROWS_AT_ONCE = 500  # a record of a thousand files is large
COLUMNS = (
    "log", "index", "time", "kind", "person", "stage", "subject", "code", "salt_hex", "record", "commitment_hex",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would compute, or take apart
Progress = Callable[[int, int], None]  # entries written, entries in all


def lines(
    use: Resources,
    form: Format,
    since: datetime | None = None,
    until: datetime | None = None,
    progress: Progress = lambda *_: None,
    source: Source | None = None,
) -> Iterator[str]:
    """Yield the lines of an export, each with its end, in the order of the tree; a CSV begins with its columns.

    since: included; until: not. An entry that was erased has neither salt nor record. source: where the records of
    archived months are read from; without, a time that has some is refused. In bounded memory. Raises NotPossible.
    """
    if form == "csv":
        yield csv_line(COLUMNS)
    with use.log_reading.newest() as session, ArchivedRecords(session, source) as records:
        if source is None:
            require_none(session, since, until)
        chosen: list[Any] = [LogEntry.leaf_index.is_not(None)]
        if since is not None:
            chosen.append(LogEntry.appended_at >= since)
        if until is not None:
            chosen.append(LogEntry.appended_at < until)
        total, done = session.scalar(select(func.count()).select_from(LogEntry).where(*chosen)) or 0, 0
        for log_id, origin in session.execute(select(Log.id, Log.origin).order_by(Log.id)).all():
            for row in _rows(session, log_id, chosen):
                record = records.record_of(origin, row)
                yield _json(origin, row, record) if form == "jsonl" else csv_line(_cells(origin, row, record))
                done += 1
                if done % ROWS_AT_ONCE == 0:
                    progress(done, total)
    progress(total, total)


def chosen(use: Resources, caller: Caller, form: Format, wanted: EntryFilter) -> Iterator[str]:
    """Yield the lines of an export of some entries, in the order of their ids, and tell the log of it before the first.

    Each part is read by itself and by an index: whoever takes long to receive it holds nothing in the database.
    """
    caller.require(Permission.LOG_AUDIT)
    with use.database.transaction() as session:
        log_entries.chosen(session, caller, wanted)  # an organization that is not there is refused before anything
        if wanted.kind is None or wanted.kind in KINDS:
            require_none(session, wanted.since, wanted.until)
        asked = {
            key: _said(value) for key, value in asdict(wanted).items() if value is not None and key != "heartbeats"
        }
        record = {"actor": caller.as_record(), "format": form, "wanted": asked}
        acts.append(session, EntryKind.LOG_EXPORT, use.clock(), record)
        last = session.scalar(select(func.max(LogEntry.id))) or 0
    return _chosen_lines(use, caller, form, wanted, last)


def _chosen_lines(use: Resources, caller: Caller, form: Format, wanted: EntryFilter, last: int) -> Iterator[str]:
    if form == "csv":
        yield csv_line(COLUMNS)
    with use.log_reading.newest() as session:
        origins = {row.id: row.origin for row in session.execute(select(Log.id, Log.origin))}
    place = 0
    while place < last:
        with use.log_reading.newest() as session:
            part = LogEntry.id > place, LogEntry.id <= last, LogEntry.leaf_index.is_not(None)
            query = log_entries.chosen(session, caller, wanted).where(*part).order_by(LogEntry.id).limit(CHOSEN_AT_ONCE)
            rows = session.scalars(query).all()
        for row in rows:
            origin = origins[row.log_id]
            yield _json(origin, row, row.record) if form == "jsonl" else csv_line(_cells(origin, row, row.record))
        place = rows[-1].id if len(rows) == CHOSEN_AT_ONCE else last


def _said(value: str | datetime) -> str:
    return value.isoformat() if isinstance(value, datetime) else value


def _rows(session: Session, log_id: int, chosen: list[Any]) -> Iterator[AnyRow]:
    query = select(
        LogEntry.leaf_index, LogEntry.appended_at, LogEntry.kind, LogEntry.person, LogEntry.stage, LogEntry.subject,
        LogEntry.code, LogEntry.salt, LogEntry.record, LogEntry.commitment,
    ).where(LogEntry.log_id == log_id, *chosen).order_by(LogEntry.leaf_index).limit(ROWS_AT_ONCE)  # fmt: skip
    place = -1
    while True:
        rows = session.execute(query.where(LogEntry.leaf_index > place)).all()
        yield from rows
        if len(rows) < ROWS_AT_ONCE:
            return
        place = rows[-1].leaf_index


def _json(origin: str, row: AnyRow, record: bytes) -> str:
    opening = {
        "log": origin, "index": row.leaf_index, "salt": encode_bytes(row.salt), "record": record.decode(),
        "commitment": encode_bytes(row.commitment),
    }  # fmt: skip
    return orjson.dumps(opening, option=orjson.OPT_APPEND_NEWLINE).decode()


def _cells(origin: str, row: AnyRow, record: bytes) -> tuple[Any, ...]:
    """Bytes in hexadecimal: base64 may begin with a + and would have to be changed."""
    return (
        origin, row.leaf_index, row.appended_at.astimezone(UTC).isoformat(timespec="milliseconds"), row.kind,
        row.person, row.stage, row.subject, row.code, row.salt.hex(), record.decode(), row.commitment.hex(),
    )  # fmt: skip


def csv_line(cells: tuple[Any, ...]) -> str:
    """One line of a CSV (RFC 4180). No cell is a formula: partners choose names that an auditor's program opens."""
    line = io.StringIO()
    csv.writer(line).writerow([_plain(cell) for cell in cells])
    return line.getvalue()


def _plain(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell
