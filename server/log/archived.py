"""Archived months: what sealed entries tell of the files that hold the records of old entries.

Of an archived entry all stays but the record: place, salt and commitment, and with them every proof.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

import orjson
from sqlalchemy import select
from sqlalchemy.orm import Session

from server.log.entries import LogEntry, commitment_of
from server.storage.database import AnyRow

ARCHIVE = "log.archive"  # its subject is the month


@dataclass(frozen=True, slots=True)
class Archive:
    """A month that was archived. file: below the place of the months; kinds: of the entries whose records it took."""

    month: str
    file: str
    sha256: str
    size_bytes: int
    kinds: frozenset[str]
    archived_at: datetime


def month_of(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m}"


def is_archived(row: LogEntry | AnyRow) -> bool:
    """Whether its record was moved; of one that was erased, the salt is gone, too."""
    return not row.record and bool(row.salt)


def archives(session: Session) -> dict[str, Archive]:
    """Each archived month with the newest sealed entry that tells of it and is itself whole."""
    query = select(LogEntry.record, LogEntry.salt, LogEntry.commitment).where(
        LogEntry.kind == ARCHIVE, LogEntry.leaf_index.is_not(None)
    )
    found: dict[str, Archive] = {}
    for row in session.execute(query.order_by(LogEntry.log_id, LogEntry.leaf_index)):
        if commitment_of(row.salt, row.record) != row.commitment:
            continue
        try:
            told = orjson.loads(row.record)
            found[told["month"]] = Archive(
                told["month"], told["file"], told["sha256"], told["size_bytes"], frozenset(told["kinds"]),
                datetime.fromtimestamp(told["time"] / 1000, UTC),
            )  # fmt: skip
        except (KeyError, TypeError, ValueError):  # whoever judges what entries mean, names it
            continue
    return found


class ArchivedMonths:
    """The same, read once a row is met that needs it: most logs have none."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @cached_property
    def known(self) -> Mapping[str, Archive]:
        return archives(self._session)

    def covers(self, kind: str, appended_at: datetime) -> bool:
        """Whether a record of this kind, from then, may be in a file instead."""
        archive = self.known.get(month_of(appended_at))
        return archive is not None and kind in archive.kinds
