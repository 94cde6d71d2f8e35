"""Deliveries: what was really fetched under each download, file by file, as the object store's own logs tell it.

What is claimed: that many bytes of that file left the store in answer to that download's URL. A store does not tell
which bytes, so `complete` says that as many left as the file has, not that each left once; `over` that more than one
and a half times as many did. Lines come late: nothing is final until 48 hours after the last moment at which a URL of
the download could be used.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import orjson
from sqlalchemy import String, UniqueConstraint, bindparam, case, func, insert, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from server import dates
from server.domain.downloads import issuing
from server.domain.entry_kinds import EntryKind
from server.log.entries import LogEntry
from server.storage.database import Base, Key
from server.text import printable

ADDRESSES_AT_MOST = 20
FINAL_AFTER = timedelta(hours=48)
OVER_FACTOR = 1.5
ASKED_AT_ONCE = 500


class DeliveryState(StrEnum):
    """How much of a file was fetched, by the sum of bytes."""

    UNUSED = "unused"
    PARTIAL = "partial"
    COMPLETE = "complete"
    OVER = "over"


class Delivery(Base):
    """One file of one download that was fetched at least once."""

    __tablename__ = "deliveries"
    __table_args__ = (UniqueConstraint("download_id", "path"),)
    id: Mapped[int] = mapped_column(Key, primary_key=True)
    download_id: Mapped[str] = mapped_column(String(36))
    path: Mapped[str] = mapped_column(String(512))
    size_bytes: Mapped[int] = mapped_column(Key)  # of the file
    requests: Mapped[int] = mapped_column(Key)
    bytes_sent: Mapped[int] = mapped_column(Key)
    first_ms: Mapped[int] = mapped_column(Key)  # since 1970, UTC: when the first request began, by the store's clock
    last_ms: Mapped[int] = mapped_column(Key)  # when the last one began
    addresses: Mapped[str] = mapped_column(String(1000))  # space separated, the first ones learnt of, at most twenty
    other_requests: Mapped[int] = mapped_column(Key)  # those from any further address


@dataclass(slots=True)
class Fetched:
    """What is known of one file of one download: in the table, or about to be added to it."""

    path: str
    size_bytes: int
    requests: int = 0
    bytes_sent: int = 0
    first_ms: int | None = None
    last_ms: int | None = None
    addresses: list[str] = field(default_factory=list)
    other_requests: int = 0

    @property
    def state(self) -> DeliveryState:
        return state_of(self.requests, self.bytes_sent, self.size_bytes)

    @property
    def first_at(self) -> datetime | None:
        """When the first request began, by the store's clock."""
        return None if self.first_ms is None else dates.of_milliseconds(self.first_ms)

    @property
    def last_at(self) -> datetime | None:
        """When the last request began."""
        return None if self.last_ms is None else dates.of_milliseconds(self.last_ms)

    def add(self, requests: int, bytes_sent: int, first_ms: int, last_ms: int, address: str) -> None:
        self.requests += requests
        self.bytes_sent += bytes_sent
        self.first_ms = first_ms if self.first_ms is None else min(self.first_ms, first_ms)
        self.last_ms = last_ms if self.last_ms is None else max(self.last_ms, last_ms)
        address = address[:45]
        if not address.isprintable() or " " in address:  # no store writes such a one
            address = printable(address, "").replace(" ", "")
        if address not in self.addresses:
            if len(self.addresses) >= ADDRESSES_AT_MOST:
                self.other_requests += requests
                return
            self.addresses.append(address)


@dataclass(frozen=True, slots=True)
class DeliveriesOfDownload:
    """Every file of a download, fetched or not, in the order of the log entry."""

    download_id: str
    organization_id: int | None
    files: Sequence[Fetched]
    final_at: datetime  # until then what is said is provisional

    @property
    def bytes_sent(self) -> int:
        return sum(file.bytes_sent for file in self.files)

    def is_final(self, at: datetime) -> bool:
        return at >= self.final_at


@dataclass(frozen=True, slots=True)
class Summary:
    """What was fetched of a whole download. over: whether of any file far more than it has."""

    bytes_sent: int = 0
    complete_files: int = 0
    over: bool = False

    def state_for(self, files: int) -> DeliveryState:
        """The state of a download of so many files: complete once each of them is."""
        if self.over:
            return DeliveryState.OVER
        if self.complete_files >= files:
            return DeliveryState.COMPLETE
        return DeliveryState.PARTIAL if self.bytes_sent else DeliveryState.UNUSED


def state_of(requests: int, bytes_sent: int, size_bytes: int) -> DeliveryState:
    if requests == 0:
        return DeliveryState.UNUSED
    if bytes_sent > OVER_FACTOR * size_bytes:
        return DeliveryState.OVER
    return DeliveryState.COMPLETE if bytes_sent >= size_bytes else DeliveryState.PARTIAL


def of_download(session: Session, download_id: str) -> DeliveriesOfDownload | None:
    """Return what was fetched under a download; None where the log has no such download."""
    query = select(LogEntry.record, LogEntry.organization_id)
    found = session.execute(query.where(LogEntry.subject == download_id, LogEntry.kind == EntryKind.DOWNLOAD)).first()
    if found is None or not found.record:  # or erased
        return None
    record = orjson.loads(found.record)
    fetched = stored(session, [download_id])
    files = [
        fetched.get((download_id, file["path"])) or Fetched(file["path"], file["size_bytes"])
        for file in record["files"]
    ]
    return DeliveriesOfDownload(download_id, found.organization_id, files, final_at(record))


def fetched_bytes(session: Session, download_ids: Iterable[str]) -> dict[str, int]:
    """Return the bytes that were sent under each of these downloads of which any fetch is known."""
    total = select(Delivery.download_id, func.sum(Delivery.bytes_sent)).group_by(Delivery.download_id)
    known: dict[str, int] = {}
    for some in in_parts(download_ids):
        known.update((key, int(sent)) for key, sent in session.execute(total.where(Delivery.download_id.in_(some))))
    return known


def summaries(session: Session, download_ids: Iterable[str]) -> dict[str, Summary]:
    """Return what was fetched under each of these downloads of which any fetch is known, over all its files."""
    whole = func.sum(case((Delivery.bytes_sent >= Delivery.size_bytes, 1), else_=0))
    most = func.max(Delivery.bytes_sent - OVER_FACTOR * Delivery.size_bytes)
    query = select(Delivery.download_id, func.sum(Delivery.bytes_sent), whole, most).group_by(Delivery.download_id)
    known: dict[str, Summary] = {}
    for some in in_parts(download_ids):
        rows = session.execute(query.where(Delivery.download_id.in_(some)))
        known.update((key, Summary(int(sent), int(complete), over > 0)) for key, sent, complete, over in rows)
    return known


def final_at(record: dict[str, Any]) -> datetime:
    """Return from when on no more lines are expected for the download of this record."""
    return issuing.issued_at(record) + timedelta(seconds=record["lifetime_seconds"]) + FINAL_AFTER


def stored(session: Session, download_ids: Iterable[str]) -> dict[tuple[str, str], Fetched]:
    """Return what the table holds of these downloads, by download and path. What was added to it goes to `store`."""
    columns = select(
        Delivery.download_id, Delivery.path, Delivery.size_bytes, *(getattr(Delivery, n) for n in _COUNTED)
    )
    return {
        (row.download_id, row.path): Fetched(
            row.path, row.size_bytes, row.requests, row.bytes_sent, row.first_ms, row.last_ms, row.addresses.split(),
            row.other_requests,
        )
        for some in in_parts(download_ids)
        for row in session.execute(columns.where(Delivery.download_id.in_(some)))
    }  # fmt: skip


def store(session: Session, changed: dict[tuple[str, str], Fetched], new: set[tuple[str, str]]) -> None:
    """Write what was fetched; `new` are those of which the table has no row yet."""
    rows = {key: _row(key[0], fetched) for key, fetched in changed.items()}
    inserted = [row for key, row in rows.items() if key in new]
    updated = [
        {f"new_{name}": value for name, value in row.items() if name != "size_bytes"}
        for key, row in rows.items()
        if key not in new
    ]
    if inserted:
        session.connection().execute(_INSERT, inserted)
    if updated:
        session.connection().execute(_UPDATE, updated)


_COUNTED = ("requests", "bytes_sent", "first_ms", "last_ms", "addresses", "other_requests")
_INSERT = insert(Delivery.__table__)  # type: ignore[arg-type]  # the table itself: the ORM's way costs three times that
_UPDATE = (
    update(Delivery)
    .where(Delivery.download_id == bindparam("new_download_id"), Delivery.path == bindparam("new_path"))
    .values({name: bindparam(f"new_{name}") for name in _COUNTED})
)


def in_parts(values: Iterable[str]) -> Iterator[list[str]]:
    """Cut a list for `IN (…)`: statements take only so many parameters."""
    wanted = list(values)
    return (wanted[start : start + ASKED_AT_ONCE] for start in range(0, len(wanted), ASKED_AT_ONCE))


def _row(download_id: str, fetched: Fetched) -> dict[str, Any]:
    return {
        "download_id": download_id,
        "path": fetched.path,
        "size_bytes": fetched.size_bytes,
        "requests": fetched.requests,
        "bytes_sent": fetched.bytes_sent,
        "first_ms": fetched.first_ms,
        "last_ms": fetched.last_ms,
        "addresses": " ".join(fetched.addresses),
        "other_requests": fetched.other_requests,
    }
