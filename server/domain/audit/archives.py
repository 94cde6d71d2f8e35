"""Archives: months whose downloads have their records in a file instead, and reading them back from there.

Files are read as the logs are: in the order of the tree, each once, and in bounded memory.
"""

import hashlib
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

from sqlalchemy.orm import Session

from server import dates
from server.domain.audit.month import Month
from server.domain.callers import Caller
from server.domain.entry_kinds import EntryKind
from server.domain.errors import NotPossible
from server.log.archived import Archive, archives, is_archived, month_of
from server.log.entries import LogEntry, commitment_of
from server.storage.database import AnyRow
from server.storage.log_bucket import LogBucket

# Longer than whatever still reads a record by itself: URLs and keys of the store that still work, what access logs tell
# late, the usage of 30 days.
ARCHIVED_AFTER = timedelta(days=90)
KINDS = frozenset({EntryKind.DOWNLOAD})  # the bulk of any log, and nothing else is judged by one
ROWS_AT_ONCE = 500
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

    def fetch(self, file: str, folder: Path) -> Path:
        """Return where a file can be read; in `folder`, if it must be copied. Raises FileNotFoundError."""


class InFolder:
    """A copy of the files in a folder, as the bucket has them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def fetch(self, file: str, folder: Path) -> Path:  # noqa: ARG002  # nothing is copied
        path = self._folder / file
        if not path.is_file():
            raise FileNotFoundError(path)
        return path


class InBucket:
    """The bucket that the worker writes them to."""

    def __init__(self, bucket: LogBucket) -> None:
        self._bucket = bucket

    def fetch(self, file: str, folder: Path) -> Path:
        path = folder / file.rpartition("/")[2]
        try:
            self._bucket.download(f"{self._bucket.folder}{file}", path)
        except KeyError:
            raise FileNotFoundError(file) from None
        return path


class ArchivedRecords:
    """Gives back the records of archived rows, which are asked for in the order of the logs and of their trees.

    source: None: none is read, and `notes` says how many were not.
    """

    def __init__(self, known: Mapping[str, Archive], source: Source | None) -> None:
        self._known, self._source = known, source
        self._folder = tempfile.TemporaryDirectory(prefix="weightgate-archive-")
        self._files: dict[str, Iterator[dict[str, Any]]] = {}
        self._broken: set[str] = set()
        self._unread: Counter[str] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._files.clear()
        self._folder.cleanup()

    def read(self, origin: str, row: Emptied | LogEntry | AnyRow) -> bytes | None:
        """Return a row's record, which gives its commitment; None where it is not read.

        Raises ArchiveFault: once for a file that cannot be used, and for each row whose record is not in it.
        """
        month = month_of(row.appended_at)
        archive = self._known.get(month)
        if archive is None or row.kind not in archive.kinds:
            return None  # `log/verification.py` names it
        if self._source is None or month in self._broken:
            self._unread[month] += 1
            return None
        for told in self._rows(archive):
            if told["log"] == origin and told["leaf_index"] == row.leaf_index:
                record = (told["record"] or "").encode()
                if commitment_of(row.salt, record) == row.commitment:
                    return record
                break
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

    def notes(self) -> Iterator[str]:
        """What was not read."""
        for month, count in sorted(self._unread.items()):
            archive = self._known[month]
            yield (
                f"the records of {count} downloads of {month} were not read: {dates.minute(archive.archived_at)} they "
                f"were archived in {archive.file}"
            )

    def _rows(self, archive: Archive) -> Iterator[dict[str, Any]]:
        """The rest of a month's rows. Raises ArchiveFault."""
        if archive.month not in self._files:
            while len(self._files) >= OPEN_AT_MOST:
                del self._files[next(iter(self._files))]
            try:
                self._files[archive.month] = self._opened(archive)
            except ArchiveFault:
                self._broken.add(archive.month)
                self._unread[archive.month] += 1
                raise
        return self._files[archive.month]

    def _opened(self, archive: Archive) -> Iterator[dict[str, Any]]:
        if self._source is None:
            raise ValueError("there is nothing to read from")
        try:
            path = self._source.fetch(archive.file, Path(self._folder.name))
            if sha256_of(path) != archive.sha256:
                raise ArchiveFault(f"archive of {archive.month}", f"{archive.file} is not the file that was archived")
        except OSError:
            raise ArchiveFault(f"archive of {archive.month}", f"its file {archive.file} cannot be read") from None
        return rows_of(path, ["log", "leaf_index", "record"])


def rows_of(path: Path, columns: list[str] | None = None) -> Iterator[dict[str, Any]]:
    """Yield the rows of a month's file. Raises ValueError for what is none."""
    import pyarrow.parquet  # 30 MB that nothing else here needs

    with pyarrow.parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(ROWS_AT_ONCE, columns=columns):
            yield from batch.to_pylist()


def sha256_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def told_of(session: Session, entry: LogEntry, caller: Caller) -> str | None:
    """Why an entry has no record, if it was archived. The file is for staff to know."""
    archive = archives(session).get(month_of(entry.appended_at)) if is_archived(entry) else None
    if archive is None:
        return None
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
