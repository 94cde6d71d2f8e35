"""Archived months: what sealed entries tell of the files that hold the records of old entries.

Of an archived entry all stays but the record: place, salt and commitment, and with them every proof. What it is found
by is proven no more, so the entry that tells of the file also has a digest of the places whose records are in it.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import orjson
from sqlalchemy import select
from sqlalchemy.orm import Session

from server import dates
from server.log.entries import Log, LogEntry, commitment_of
from server.storage.database import AnyRow

ARCHIVE = "log.archive"  # its subject is the month
KINDS = frozenset({"download"})  # the bulk of any log, and nothing else is judged by one
# Longer than whatever still reads a record by itself: URLs and keys of the store that still work, what access logs tell
# late, the usage of 30 days.
ARCHIVED_AFTER = timedelta(days=90)
_MONTH = re.compile(r"20[0-9]{2}-(0[1-9]|1[0-2])")
_FILE = re.compile(r"year=(?P<year>[0-9]{4})/month=(?P<month>[0-9]{2})/[0-9a-f]{32}\.parquet")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class NotAnArchive(ValueError):
    """A record tells of no archive in the form that `log archive` writes."""


@dataclass(frozen=True, slots=True)
class Records:
    """Those of one log that are in a file. last: the highest of their places. sha256: of all, 8 bytes each."""

    count: int
    last: int
    sha256: str


class Places:
    """Counts and hashes places in a tree, which come in its order."""

    def __init__(self) -> None:
        self._count, self._last, self._digest = 0, -1, hashlib.sha256()

    def take(self, leaf_index: int) -> None:
        self._count, self._last = self._count + 1, leaf_index
        self._digest.update(leaf_index.to_bytes(8, "big"))

    @property
    def records(self) -> Records:
        return Records(self._count, self._last, self._digest.hexdigest())


@dataclass(frozen=True, slots=True)
class Archive:
    """A month that was archived. file: below the place of the months; replaces: an older one; records: by log.

    person: in whose name, which is all that is known of it.
    """

    month: str
    file: str
    sha256: str
    size_bytes: int
    kinds: frozenset[str]
    records: Mapping[str, Records]
    archived_at: datetime
    replaces: str | None = None
    person: str | None = None

    def reaches(self, origin: str, row: LogEntry | AnyRow) -> bool:
        """Whether a sealed row of this month may be in the file: none that was sealed since."""
        told = self.records.get(origin)
        return told is not None and row.leaf_index is not None and row.leaf_index <= told.last

    def covers(self, origin: str, row: LogEntry | AnyRow) -> bool:
        """Whether the file may be all that has its record: of no kind but those that were archived."""
        return row.kind in self.kinds and self.reaches(origin, row)

    def follows(self, before: "Archive | None") -> bool:
        """Whether it is the next one of its month: another file of the same records."""
        if before is None:
            return self.replaces is None
        return self.replaces == before.file and self.records == before.records


def month_of(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m}"


def is_archived(row: LogEntry | AnyRow) -> bool:
    """Whether its record was moved; of one that was erased, the salt is gone, too."""
    return not row.record and bool(row.salt)


def parse(record: Mapping[str, Any]) -> Archive:
    """Read what an entry tells. Raises NotAnArchive: whoever can append, can append any record."""
    try:
        month, file, replaces = record["month"], record["file"], record.get("replaces")
        files = [_FILE.fullmatch(one) for one in (file, *(() if replaces is None else (replaces,)))]
        person = record.get("actor", {}).get("person")
        numbers = record["size_bytes"], record["entries"], record["time"]
        is_whole = (
            record["kind"] == ARCHIVE and _MONTH.fullmatch(month) and _SHA256.fullmatch(record["sha256"])
            and all(found and f"{found['year']}-{found['month']}" == month for found in files)
            and all(type(number) is int and number >= 0 for number in numbers)
            and isinstance(record["kinds"], list) and KINDS.issuperset(record["kinds"]) and bool(record["kinds"])
            and file != replaces and (person is None or isinstance(person, str))
        )  # fmt: skip
        records = {one["log"]: _records(one) for one in record["records"]}
        in_file = sum(one.count for one in records.values())
        if is_whole and len(records) == len(record["records"]) and in_file <= record["entries"]:
            return Archive(
                month, file, record["sha256"], record["size_bytes"], frozenset(record["kinds"]), records,
                dates.of_milliseconds(record["time"]), replaces, person,
            )  # fmt: skip
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError, OSError):
        pass
    raise NotAnArchive("it does not describe an archive")


def _records(told: Mapping[str, Any]) -> Records:
    found = Records(told["count"], told["last"], told["sha256"])
    is_whole = type(found.count) is int and type(found.last) is int and 0 < found.count <= found.last + 1
    if not is_whole or not isinstance(told["log"], str) or not _SHA256.fullmatch(found.sha256):
        raise NotAnArchive("its records are not described")
    return found


def archives(session: Session) -> dict[str, Archive]:
    """Each archived month with the newest sealed entry that tells of it, is itself whole, and follows the others."""
    query = (
        select(
            LogEntry.record, LogEntry.salt, LogEntry.commitment, LogEntry.subject, LogEntry.leaf_index, Log.origin,
        )
        .join(Log, Log.id == LogEntry.log_id)
        .where(LogEntry.kind == ARCHIVE, LogEntry.leaf_index.is_not(None))
    )  # fmt: skip
    found: dict[str, Archive] = {}
    for row in session.execute(query.order_by(LogEntry.log_id, LogEntry.leaf_index)):
        if commitment_of(row.salt, row.record) != row.commitment:
            continue
        try:
            told = parse(orjson.loads(row.record))
        except ValueError:  # whoever judges what entries mean, names it
            continue
        own = told.records.get(row.origin)
        is_later = own is None or own.last < row.leaf_index
        if told.month == row.subject and is_later and told.follows(found.get(told.month)):
            found[told.month] = told
    return found


class ArchivedMonths:
    """The same, read once a row is met that needs it: most logs have none."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @cached_property
    def known(self) -> Mapping[str, Archive]:
        return archives(self._session)

    def covers(self, log_id: int, row: LogEntry | AnyRow) -> bool:
        """Whether the record of a sealed row may be in a file instead."""
        archive = self.known.get(month_of(row.appended_at))
        return archive is not None and archive.covers(self._origins[log_id], row)

    @cached_property
    def _origins(self) -> Mapping[int, str]:
        return {row.id: row.origin for row in self._session.execute(select(Log.id, Log.origin))}


class ArchivedPlaces:
    """Holds the rows of one log, which come in the order of its tree, against the digests of its archived months.

    Rows count by the columns that stay, emptied or not: so no other row passes for one whose record is in a file.
    """

    def __init__(self, known: Mapping[str, Archive], origin: str) -> None:
        self._told = {month: one.records[origin] for month, one in known.items() if origin in one.records}
        self._found = {month: Places() for month in self._told}

    def take(self, row: AnyRow) -> None:
        if not self._told or row.kind not in KINDS:
            return
        month = month_of(row.appended_at)
        if (told := self._told.get(month)) is not None and row.leaf_index <= told.last:
            self._found[month].take(row.leaf_index)

    def differing(self) -> list[str]:
        """The months whose rows are not those that were archived."""
        return sorted(month for month, told in self._told.items() if self._found[month].records != told)
