"""Exports: every sealed entry with what opens its commitment, for an auditor who holds the public tree against it."""

import csv
import io
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Literal

import orjson
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from server.domain.resources import Resources
from server.log.entries import Log, LogEntry
from server.log.notes import encode_bytes
from server.storage.database import AnyRow

Format = Literal["jsonl", "csv"]
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
) -> Iterator[str]:
    """Yield the lines of an export, each with its end, in the order of the tree; a CSV begins with its columns.

    since: included; until: not. An entry that was erased has neither salt nor record. In bounded memory.
    """
    if form == "csv":
        yield _csv(COLUMNS)
    with use.database.reading() as session:
        chosen: list[Any] = [LogEntry.leaf_index.is_not(None)]
        if since is not None:
            chosen.append(LogEntry.appended_at >= since)
        if until is not None:
            chosen.append(LogEntry.appended_at < until)
        total, done = session.scalar(select(func.count()).select_from(LogEntry).where(*chosen)) or 0, 0
        for log_id, origin in session.execute(select(Log.id, Log.origin).order_by(Log.id)).all():
            for row in _rows(session, log_id, chosen):
                yield _json(origin, row) if form == "jsonl" else _csv(_cells(origin, row))
                done += 1
                if done % ROWS_AT_ONCE == 0:
                    progress(done, total)
    progress(total, total)


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


def _json(origin: str, row: AnyRow) -> str:
    opening = {
        "log": origin, "index": row.leaf_index, "salt": encode_bytes(row.salt), "record": row.record.decode(),
        "commitment": encode_bytes(row.commitment),
    }  # fmt: skip
    return orjson.dumps(opening, option=orjson.OPT_APPEND_NEWLINE).decode()


def _cells(origin: str, row: AnyRow) -> tuple[Any, ...]:
    """Bytes in hexadecimal: base64 may begin with a + and would have to be changed."""
    return (
        origin, row.leaf_index, row.appended_at.astimezone(UTC).isoformat(timespec="milliseconds"), row.kind,
        row.person, row.stage, row.subject, row.code, row.salt.hex(), row.record.decode(), row.commitment.hex(),
    )  # fmt: skip


def _csv(cells: tuple[Any, ...]) -> str:
    """One line of a CSV (RFC 4180). No cell is a formula: partners choose names that an auditor's program opens."""
    line = io.StringIO()
    csv.writer(line).writerow([_plain(cell) for cell in cells])
    return line.getvalue()


def _plain(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell
