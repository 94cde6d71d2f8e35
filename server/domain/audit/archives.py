"""Archives: months whose downloads have their records in a file instead, and reading them back from there.

Files are read as the logs are: in the order of the tree, each once, and in bounded memory.
"""

import hashlib
import tempfile
from collections import Counter
from collections.abc import Generator, Iterator
from datetime import datetime
from io import BufferedReader
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

from sqlalchemy import select
from sqlalchemy.orm import Session

from server import dates
from server.domain.audit.month import Month
from server.domain.callers import Caller
from server.domain.errors import NotPossible
from server.log.archived import Archive, ArchivedMonths, archives, is_archived, month_of
from server.log.entries import Log, LogEntry, commitment_of
from server.storage.database import AnyRow
from server.storage.log_bucket import LogBucket

ROWS_AT_ONCE = 100  # a record of a thousand files is large
_TYPES = {"log": "string", "leaf_index": "int64", "time": "timestamp[ms, tz=UTC]", "record": "string"}
READ_WITH = "On the command line, --months or --from-bucket reads the files of archived months."
OPEN_AT_MOST = 3  # at the turn of a month, machines whose clocks differ append to both


class Emptied(NamedTuple):
    """What is left of a row without a record."""

    id: int
    leaf_index: int
    kind: str
    subject: str | None
    stage: str | None
    code: str | None
    organization_id: int | None
    person: str | None
    appended_at: datetime
    record: bytes
    salt: bytes
    commitment: bytes


class ArchiveFault(Exception):
    """What is in the file, if it is there, is not what was archived. The text says why; row: of what."""

    def __init__(self, row: str, sentence: str) -> None:
        super().__init__(sentence)
        self.row = row


class Source(Protocol):
    """Where the files are."""

    def size_bytes(self, file: str) -> int:
        """Raises FileNotFoundError."""

    def open(self, file: str, folder: Path) -> BufferedReader:
        """Open a file; by a copy in `folder`, if it must be copied, which is gone with it. Raises FileNotFoundError."""


class InFolder:
    """A copy of the files in a folder, as the bucket has them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def size_bytes(self, file: str) -> int:
        return (self._folder / file).stat().st_size

    def open(self, file: str, folder: Path) -> BufferedReader:  # noqa: ARG002  # nothing is copied
        return (self._folder / file).open("rb")


class InBucket:
    """The bucket that the worker writes them to."""

    def __init__(self, bucket: LogBucket) -> None:
        self._bucket = bucket

    def size_bytes(self, file: str) -> int:
        found = self._bucket.head(f"{self._bucket.folder}{file}")
        if found is None:
            raise FileNotFoundError(file)
        return found.size_bytes

    def open(self, file: str, folder: Path) -> BufferedReader:
        path = folder / file.rpartition("/")[2]
        try:
            self.fetch(file, path)
            return path.open("rb")
        finally:
            path.unlink(missing_ok=True)

    def fetch(self, file: str, path: Path) -> None:
        """Copy a file. Raises FileNotFoundError."""
        try:
            self._bucket.download(f"{self._bucket.folder}{file}", path)
        except KeyError:
            raise FileNotFoundError(file) from None


class NotAMonth(Exception):
    """A file is no Parquet, or not with the columns of a month."""

    def __init__(self) -> None:
        super().__init__("it is not a Parquet file of a month")


class _Opened:
    """A month's rows, asked for in their order."""

    def __init__(self, stream: BufferedReader, order: dict[str, int]) -> None:
        self._stream, self._order = stream, order
        self._rows = rows_of(stream, ["log", "leaf_index", "record"])
        self._next: dict[str, Any] | None = None

    def record_at(self, origin: str, leaf_index: int) -> bytes | None:
        """The record at a place, empty for none; None if the file does not have the place. Raises NotAMonth."""
        wanted = self._order[origin], leaf_index
        self._next = self._next or next(self._rows, None)
        while self._next is not None and self._place() < wanted:
            self._next = next(self._rows, None)
        if self._next is None or self._place() != wanted:
            return None
        return (self._next["record"] or "").encode()

    def _place(self) -> tuple[int, int]:
        row = self._next or {}
        return self._order.get(row["log"], -1), row["leaf_index"]

    def close(self) -> None:
        self._rows.close()
        self._stream.close()


class ArchivedRecords:
    """Gives back the records of archived rows, which are asked for in the order of the logs and of their trees.

    source: None: none is read, and `notes` says how many were not.
    """

    def __init__(self, session: Session, source: Source | None) -> None:
        self._known, self._source = archives(session), source
        self._order = {
            origin: place for place, origin in enumerate(session.scalars(select(Log.origin).order_by(Log.id)))
        }
        self._folder = tempfile.TemporaryDirectory(prefix="weightgate-archive-")
        self._files: dict[str, _Opened] = {}
        self._broken: dict[str, ArchiveFault] = {}
        self._told: set[tuple[str, str]] = set()
        self._unread: Counter[str] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._close_down_to(0)
        self._folder.cleanup()

    def read(self, origin: str, row: Emptied | LogEntry | AnyRow) -> bytes | None:
        """Return a row's record, which gives its commitment; None where it is not read.

        The file has every entry of its month, so a row of another kind is read as well: it may have been relabelled.
        Raises ArchiveFault: once for each log whose records are in a file that cannot be used, since one that was
        abandoned has none but known faults; and for each row whose record is not in its file.
        """
        month = month_of(row.appended_at)
        archive = self._known.get(month)
        if archive is None or row.leaf_index is None or not archive.reaches(origin, row):
            return None  # `log/verification.py` names it
        is_told = archive.covers(origin, row)
        if self._source is None:
            self._unread[month] += is_told
            return None
        try:
            record = self._file(archive, self._source).record_at(origin, row.leaf_index)
        except (ArchiveFault, NotAMonth) as error:
            self._unread[month] += is_told
            fault = (
                ArchiveFault(f"archive of {month}", f"{archive.file}: {error}")
                if isinstance(error, NotAMonth)
                else error
            )
            self._broken[month] = fault
            if (month, origin) in self._told:
                return None
            self._told.add((month, origin))
            raise fault from None
        if record is None:
            raise ArchiveFault(f"entry {row.leaf_index}", f"it is not in {archive.file}")
        if commitment_of(row.salt, record) == row.commitment:
            return record
        raise ArchiveFault(
            f"entry {row.leaf_index}", f"its salt and its record in {archive.file} do not give its commitment"
        )

    def record_of(self, origin: str, row: LogEntry | AnyRow) -> bytes:
        """Return a row's record, wherever it is; empty if it was erased. Raises NotPossible."""
        if row.record or not row.salt:
            return bytes(row.record)
        try:
            record = self.read(origin, row)
        except ArchiveFault as fault:
            raise NotPossible(f"The archive is not whole: {fault.row}: {fault}.", next_step=READ_WITH) from None
        if record is None:
            raise NotPossible(f"The record of entry {row.leaf_index} of {origin} was archived.", next_step=READ_WITH)
        return record

    @property
    def unread(self) -> int:
        """How many records were not read."""
        return self._unread.total()

    def notes(self) -> Iterator[str]:
        """What was not read, and so not checked; and in whose name it was archived, who may know nothing of it."""
        for month, count in sorted((+self._unread).items()):
            archive = self._known[month]
            what = "the record of 1 download" if count == 1 else f"the records of {count} downloads"
            were, they, rows = ("was", "It was", "its row") if count == 1 else ("were", "They were", "their rows")
            yield (
                f"{what} of {month} {were} not read, and the columns of {rows} were not checked. {they} archived in "
                f"{archive.file} on {dates.minute(archive.archived_at)} by {archive.person}"
            )

    def _file(self, archive: Archive, source: Source) -> _Opened:
        """A month's file, with the rows that were not read. Raises ArchiveFault."""
        if (fault := self._broken.get(archive.month)) is not None:
            raise fault
        if archive.month not in self._files:
            self._close_down_to(OPEN_AT_MOST - 1)
            self._files[archive.month] = self._opened(archive, source)
        return self._files[archive.month]

    def _close_down_to(self, count: int) -> None:
        while len(self._files) > count:
            self._files.pop(next(iter(self._files))).close()

    def _opened(self, archive: Archive, source: Source) -> _Opened:
        named, other = f"archive of {archive.month}", f"{archive.file} is not the file that was archived"
        try:
            if source.size_bytes(archive.file) != archive.size_bytes:  # before it fills the disk
                raise ArchiveFault(named, other)
            stream = source.open(archive.file, Path(self._folder.name))
        except OSError:
            raise ArchiveFault(named, f"its file {archive.file} cannot be read") from None
        if hashlib.file_digest(stream, "sha256").hexdigest() != archive.sha256:
            stream.close()
            raise ArchiveFault(named, other)
        stream.seek(0)
        return _Opened(stream, self._order)


def rows_of(source: Path | BufferedReader, columns: list[str] | None = None) -> Generator[dict[str, Any]]:
    """Yield the rows of a month's file. Raises NotAMonth, also in the middle."""
    import pyarrow.parquet  # 30 MB that nothing else here needs

    try:
        with pyarrow.parquet.ParquetFile(source) as file:
            types = {field.name: str(field.type) for field in file.schema_arrow}
            if not types.items() >= _TYPES.items():
                raise NotAMonth
            for batch in file.iter_batches(ROWS_AT_ONCE, columns=columns):
                yield from batch.to_pylist()
    except (pyarrow.ArrowException, ValueError, KeyError, OSError):
        raise NotAMonth from None


def sha256_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def told_of(session: Session, entry: LogEntry, caller: Caller) -> str | None:
    """Why an entry has no record, if it was archived. The file is for staff to know."""
    months = ArchivedMonths(session)
    if not is_archived(entry) or not months.covers(entry.log_id, entry):
        return None
    archive = months.known[month_of(entry.appended_at)]
    where = f", in {archive.file}" if caller.is_staff else ""
    return f"The text was archived on {dates.minute(archive.archived_at)}{where}."


def require_none(session: Session, since: datetime | None, until: datetime | None) -> None:
    """Raise NotPossible where some records of a time are no longer in the database. since: included; until: not."""
    found = [
        month for month in map(Month.parse, sorted(archives(session)))
        if (since is None or since < month.until) and (until is None or month.since < until)
    ]  # fmt: skip
    if found:
        raise NotPossible(
            f"The records of the downloads of {', '.join(map(str, found))} were archived, and are in files instead.",
            next_step=f"Choose a time from {found[-1].until:%Y-%m-%d} on. {READ_WITH}",
        )
