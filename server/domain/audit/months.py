"""Months of the log as Parquet, for DuckDB, Athena and Spark: each finished one in the operator's bucket, once.

A file's name is a digest of the entries in it, so a month that is there is compared by listing. What is there and
differs is never replaced: a month changes only when an entry in it is erased, and a person decides what then happens to
the copy. The columns are described in docs/log-months.md.
"""

import hashlib
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from server.domain.audit import archives
from server.domain.audit.month import Month
from server.domain.errors import NotPossible
from server.domain.resources import Resources
from server.log import tree
from server.log.archived import Archive
from server.log.archived import archives as archived_months
from server.log.entries import WAITS_FOR_SEAL, Log, LogEntry
from server.storage.database import AnyRow
from server.storage.log_bucket import LogBucket

KEEP_EVERY_SECONDS = 3600
COMPARED_EVERY = timedelta(days=1)
SETTLED_AFTER = timedelta(hours=1)  # machines' clocks differ by a minute, and what is written stays
ROWS_AT_ONCE = 500
GROUP_ROWS, GROUP_BYTES = 20_000, 64_000_000  # of a row group, which is held in memory
DIGEST_HEX = 32
INSTALL = (
    "`make install` installs it with the server; the image does not have it. Where a worker cannot have it, remove "
    "log_months from its settings."
)


class MonthDiffers(Exception):
    """What is in the bucket is not what the log has of that month. The text says what to do."""


class Row(NamedTuple):
    """What a file has of an entry."""

    leaf_index: int
    commitment: bytes
    is_erased: bool
    appended_at: datetime
    kind: str
    person: str | None
    stage: str | None
    subject: str | None
    code: str | None
    salt: bytes
    record: bytes


@dataclass(frozen=True, slots=True)
class Written:
    """A Parquet file that was written. digest: of its entries, which names the file in the bucket."""

    entries: int
    digest: str


class Digest:
    """Of a month's entries, in the order of its file: their logs, places and commitments, and which were erased."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def take(self, origin: str, leaf_index: int, commitment: bytes, *, is_erased: bool) -> None:
        self._digest.update(f"{origin}\n{leaf_index}\n{int(is_erased)}\n".encode() + commitment)

    @property
    def hex(self) -> str:
        return self._digest.hexdigest()[:DIGEST_HEX]

    def file_of(self, month: Month) -> str:
        """The name of the file that has them, below the place of the months."""
        return f"{month.folder}{self.hex}.parquet"


def parquet_is_installed() -> bool:
    """Whether the extra `parquet` is there."""
    return find_spec("pyarrow") is not None


def require_parquet() -> None:
    """Raise NotPossible without pyarrow."""
    if not parquet_is_installed():
        raise NotPossible("Parquet needs pyarrow, which is not installed.", next_step=INSTALL)


def write(use: Resources, path: Path, since: datetime | None, until: datetime | None) -> Written:
    """Write the sealed entries of a time to a file, in the order of the tree. In bounded memory.

    since: included; until: not. Raises NotPossible without pyarrow, OSError.
    """
    require_parquet()
    with use.log_reading.newest() as session:
        archives.require_none(session, since, until)
        return write_rows(path, _rows(session, _sealed(since, until)))


def write_rows(path: Path, rows: Iterable[tuple[str, AnyRow | Row]]) -> Written:
    """Write rows that are given, each with its log's origin."""
    import pyarrow.parquet  # 30 MB that nothing else here needs

    count, digest = 0, Digest()
    schema = _schema()
    with pyarrow.parquet.ParquetWriter(path, schema, compression="zstd", write_page_index=True) as writer:
        for group in _groups(_counted(rows, digest)):
            columns = [pyarrow.array([row[name] for row in group], field.type) for name, field in _named(schema)]
            writer.write_table(pyarrow.Table.from_arrays(columns, schema=schema))
            count += len(group)
    return Written(count, digest.hex)


class Keeper:
    """Puts finished months where the settings say, and compares those that are there, once a day."""

    def __init__(self, use: Resources) -> None:
        self._use = use
        self._compared: dict[Month, datetime] = {}

    def keep(self) -> list[Month]:
        """Write each finished month that is missing; returns those. Raises MonthDiffers, ObjectStoreError.

        One that differs does not keep the others from being written.
        """
        if self._use.log_months is None:
            return []
        written, differing = [], []
        for month in finished(self._use):
            now = self._use.clock()
            if now - self._compared.get(month, datetime.min.replace(tzinfo=UTC)) < COMPARED_EVERY:
                continue
            try:
                if _keep(self._use, self._use.log_months, month):
                    written.append(month)
                self._compared[month] = now
            except MonthDiffers as error:
                differing.append(str(error))
        if differing:
            raise MonthDiffers("; ".join(differing))
        return written


def finished(use: Resources) -> list[Month]:
    """Every month that has passed since the log began, but for one that has an entry which waits to be sealed.

    What a log had not sealed when it was abandoned waits for nothing: it is in no tree, and never will be.
    """
    with use.database.reading() as session:
        first = session.scalar(select(LogEntry.appended_at).order_by(LogEntry.id).limit(1))
        oldest = session.scalar(select(func.min(LogEntry.appended_at)).where(*WAITS_FOR_SEAL))
    months: list[Month] = []
    if first is None:
        return months
    month, now = Month.of(first), use.clock()
    while month.until + SETTLED_AFTER <= now and (oldest is None or month.until <= oldest):
        months.append(month)
        month = month.next
    return months


def missing(use: Resources) -> list[Month]:
    """The finished months that have no file in the bucket. Raises ObjectStoreError.

    Of one that was archived, another file than the one that has its records is none.
    """
    if use.log_months is None:
        return []
    bucket, known = use.log_months, _archives(use)
    return [
        month for month in finished(use)
        if not bucket.list_keys(
            f"{bucket.folder}{known[str(month)].file if str(month) in known else month.folder}"
        )
    ]  # fmt: skip


def file_of(session: Session, month: Month) -> str:
    """The name of the file that has the entries of a month as they are now, below the place of the months."""
    digest = Digest()
    for _ in _counted(_rows(session, _sealed(month.since, month.until), _OF_DIGEST), digest):
        pass
    return digest.file_of(month)


def files_in(bucket: LogBucket, month: Month) -> list[str]:
    """The files that are there of a month, by the same names."""
    keys = bucket.list_keys(f"{bucket.folder}{month.folder}")
    return [key.removeprefix(bucket.folder) for key in keys if key.endswith(".parquet")]


def rows(session: Session, month: Month) -> Iterator[tuple[str, AnyRow]]:
    """The sealed entries of a month, each with its log's origin, in the order of its file."""
    return _rows(session, _sealed(month.since, month.until))


def upload(bucket: LogBucket, file: str, path: Path) -> None:
    """Put a month's file there. Raises ObjectStoreError."""
    sha256_hex = archives.sha256_of(path)
    bucket.upload(f"{bucket.folder}{file}", path, sha256_hex, path.stat().st_size, lambda _: None)


def _archives(use: Resources) -> dict[str, Archive]:
    with use.log_reading.newest() as session:
        return archived_months(session)


def _compare_archived(found: list[str], file: str, archive: Archive, month: Month) -> None:
    """A month without its records in the database is never written from it. Raises MonthDiffers."""
    if archive.file not in found:
        raise MonthDiffers(
            f"{archive.file} is missing, and no other place has the records of the archived {month}: put it back"
        )
    if archive.file != file:
        raise MonthDiffers(
            f"an entry of the archived {month} was erased, and {archive.file} still has it: run "
            f"`weightgate-server log archive {month}` again, which writes another file"
        )
    if others := [other for other in found if other != archive.file]:
        raise MonthDiffers(
            f"the archived {month} is in {archive.file}, but there is {', '.join(others)}, too: if an entry was erased "
            "since, delete that one"
        )


def _keep(use: Resources, bucket: LogBucket, month: Month) -> bool:
    """Write a month unless it is there, or was archived. Raises MonthDiffers."""
    found = files_in(bucket, month)
    with use.log_reading.newest() as session:
        archive, file = archived_months(session).get(str(month)), file_of(session, month)
    if archive is not None:
        _compare_archived(found, file, archive, month)
        return False
    if found:
        if found != [file]:
            raise MonthDiffers(
                f"the bucket has another {month} than the log: {', '.join(found)}. If an entry was erased since, "
                "delete the file, and it is written again; if not, run `weightgate-server log verify`"
            )
        return False
    with tempfile.TemporaryDirectory(prefix="weightgate-month-") as place:
        path = Path(place) / "month.parquet"
        if f"{month.folder}{write(use, path, month.since, month.until).digest}.parquet" != file:
            raise MonthDiffers(f"the log's {month} changed while it was written; it is tried again")
        upload(bucket, file, path)
    return True


def _sealed(since: datetime | None, until: datetime | None) -> list[ColumnElement[bool]]:
    chosen: list[ColumnElement[bool]] = [LogEntry.leaf_index.is_not(None)]
    if since is not None:
        chosen.append(LogEntry.appended_at >= since)
    if until is not None:
        chosen.append(LogEntry.appended_at < until)
    return chosen


_OF_DIGEST = (LogEntry.leaf_index, LogEntry.commitment, (func.length(LogEntry.salt) == 0).label("is_erased"))
_ALL = (
    *_OF_DIGEST, LogEntry.appended_at, LogEntry.kind, LogEntry.person, LogEntry.stage, LogEntry.subject, LogEntry.code,
    LogEntry.salt, LogEntry.record, LogEntry.id, LogEntry.log_id, LogEntry.organization_id,
)  # fmt: skip


def _counted(rows: Iterable[tuple[str, Any]], digest: Digest) -> Iterator[tuple[str, Any]]:
    for origin, row in rows:
        digest.take(origin, row.leaf_index, row.commitment, is_erased=row.is_erased)
        yield origin, row


def _rows(
    session: Session, chosen: list[ColumnElement[bool]], columns: tuple[Any, ...] = _ALL
) -> Iterator[tuple[str, AnyRow]]:
    """The entries with their log's origin, one log after the other, each in the order of its tree."""
    for log_id, origin in session.execute(select(Log.id, Log.origin).order_by(Log.id)).all():
        query = select(*columns).where(LogEntry.log_id == log_id, *chosen)
        query, place = query.order_by(LogEntry.leaf_index).limit(ROWS_AT_ONCE), -1
        while rows := session.execute(query.where(LogEntry.leaf_index > place)).all():
            yield from ((origin, row) for row in rows)
            place = rows[-1].leaf_index


def _groups(rows: Iterator[tuple[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    group: list[dict[str, Any]] = []
    size_bytes = 0
    for origin, row in rows:
        group.append(values(origin, row))
        size_bytes += len(row.record)
        if len(group) == GROUP_ROWS or size_bytes >= GROUP_BYTES:
            yield group
            group, size_bytes = [], 0
    if group:
        yield group


def values(origin: str, row: AnyRow | Row) -> dict[str, Any]:
    """The columns of a row; of an erased entry the place and the commitment, which stay."""
    record = orjson.loads(row.record) if row.record else {}
    actor = record.get("actor", {})
    return {
        "log": origin, "leaf_index": row.leaf_index, "time": row.appended_at, "kind": row.kind,
        "organization": record.get("organization") or actor.get("organization"), "person": row.person,
        "stage": row.stage, "subject": row.subject, "code": row.code, "record": row.record.decode() or None,
        "salt": row.salt or None, "commitment": row.commitment, "leaf_hash": tree.leaf_hash(row.commitment),
    }  # fmt: skip


def _named(schema: Any) -> Iterator[tuple[str, Any]]:
    return ((field.name, field) for field in schema)


def _schema() -> Any:
    """Source: docs/log-months.md, which a test compares."""
    import pyarrow as pa

    return pa.schema([
        pa.field("log", pa.string(), nullable=False),
        pa.field("leaf_index", pa.int64(), nullable=False),
        pa.field("time", pa.timestamp("ms", "UTC"), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        *(pa.field(name, pa.string()) for name in ("organization", "person", "stage", "subject", "code", "record")),
        pa.field("salt", pa.binary(32)),
        pa.field("commitment", pa.binary(32), nullable=False),
        pa.field("leaf_hash", pa.binary(32), nullable=False),
    ])  # fmt: skip
