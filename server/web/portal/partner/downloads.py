"""Downloads: who of us took what, how much of it was fetched, and the proof that the log holds it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from flask import Blueprint, Response, request, stream_with_context
from sqlalchemy.orm import Session

from server import dates
from server.domain.audit import archives, exports, log_entries, receipts
from server.domain.audit.log_entries import EntryFilter
from server.domain.callers import Caller
from server.domain.delivery import deliveries
from server.domain.delivery.deliveries import DeliveryState, Summary
from server.domain.downloads import issuing
from server.domain.entry_kinds import EntryKind
from server.domain.errors import InvalidRequest, NotFound, RecordArchived
from server.domain.paging import Slice
from server.domain.permissions import Permission
from server.log.archived import is_archived
from server.log.entries import LogEntry
from server.log.notes import encode_bytes
from server.web.identity import resources
from server.web.portal.kit import filters, paging
from server.web.portal.kit.auth import page
from server.web.portal.kit.filters import Narrowing
from server.web.portal.kit.rendering import render, saved

bp = Blueprint("download_pages", __name__, url_prefix="/downloads")
CSV_COLUMNS = (
    "id", "issued_at", "organization", "person", "token", "address", "stage", "checkpoint", "files", "size_bytes",
    "fetched_bytes", "state", "final",
)  # fmt: skip
CSV_ROWS_AT_ONCE = 200


class Filters(Narrowing):
    """Which downloads; in the address, so that a list can be kept and sent on."""

    organization = filters.word("Organization", render_kw={"placeholder": "ID or name"})
    person = filters.word("Person", render_kw={"placeholder": "Email address or name"})
    stage = filters.word("Stage", render_kw={"placeholder": "gpt-2/774M"})
    since = filters.day("First day")
    until = filters.day("Last day")

    def wanted(self, session: Session, caller: Caller) -> EntryFilter | None:
        found = super().wanted(session, caller)
        return None if found is None else replace(found, kind=EntryKind.DOWNLOAD)


@dataclass(frozen=True, slots=True)
class Row:
    """One download as lists show it. record: empty where the entry was erased, or its record archived."""

    record: dict[str, Any]
    entry: LogEntry
    fetched: Summary
    now: datetime

    @property
    def issued_at(self) -> datetime:
        return self.entry.appended_at

    @property
    def size_bytes(self) -> int:
        return sum(file["size_bytes"] for file in self.record["files"])

    @property
    def is_archived(self) -> bool:
        return is_archived(self.entry)

    @property
    def stage(self) -> str:
        return f"{self.record['model']}/{self.record['stage']}"

    @property
    def state(self) -> DeliveryState:
        return self.fetched.state_for(len(self.record["files"]))

    @property
    def is_final(self) -> bool:
        return self.now >= deliveries.final_at(self.record)


@bp.get("")
@page(Permission.DOWNLOAD_READ)
def index(caller: Caller) -> Response:
    """One's own organization's downloads, newest first; for staff everybody's."""
    form: Filters = filters.of_address(Filters)
    use = resources()
    with use.database.reading() as session:
        if not form.validate() or (wanted := form.wanted(session, caller)) is None:
            return render("partner/downloads/index.html", 422, form=form, rows=[], next_cursor=None, args={})
        found = log_entries.visible(session, caller, wanted, paging.part())
        rows = _rows(session, found.items, use.clock())
    return render(
        "partner/downloads/index.html",
        form=form,
        rows=rows,
        next_cursor=paging.next_cursor(found),
        args=request.args,
    )


@bp.get("/all.csv")
@page(Permission.DOWNLOAD_READ)
def export(caller: Caller) -> Response:
    """All downloads that the same filters leave, as CSV."""
    form: Filters = filters.of_address(Filters)
    with resources().database.reading() as session:  # refused before anything is sent
        if not form.validate() or (wanted := form.wanted(session, caller)) is None:
            raise InvalidRequest("A filter in the URL is not valid.", next_step="Set the filter on the page again.")
        log_entries.visible(session, caller, wanted, Slice(1))
    lines = stream_with_context(_csv_lines(caller, wanted))
    return saved(lines, "text/csv", "downloads.csv")


@bp.get("/<uuid:download_id>")
@page(Permission.DOWNLOAD_READ)
def show(caller: Caller, download_id: UUID) -> Response:
    """One download: what was fetched of each file, and its proof, verified for this page."""
    use = resources()
    with use.database.reading() as session:
        entry = _find(session, caller, download_id)
        fetched = deliveries.of_download(session, str(download_id))
        checked = log_entries.check(session, entry)
    record = orjson.loads(entry.record)
    return render(
        "partner/downloads/show.html",
        entry=entry,
        record=record,
        issued_at=issuing.issued_at(record),
        fetched=fetched,
        final=fetched is not None and fetched.is_final(use.clock()),
        checked=checked,
    )


@bp.get("/<uuid:download_id>/record")
@page(Permission.DOWNLOAD_READ)
def record(caller: Caller, download_id: UUID) -> Response:
    """The entry's exact text, as it was committed to."""
    with resources().database.reading() as session:
        entry = _find(session, caller, download_id)
    return saved(entry.record, "application/json", f"{download_id}.record.json")


@bp.get("/<uuid:download_id>/proof")
@page(Permission.DOWNLOAD_READ)
def proof(caller: Caller, download_id: UUID) -> Response:
    """The proof that the entry is in the log, as C2SP tlog-proof."""
    with resources().database.reading() as session:
        text = issuing.proof(session, caller, str(download_id))
    return saved(text, "text/plain", f"{download_id}.tlog-proof")


@bp.get("/<uuid:download_id>/receipt")
@page(Permission.DOWNLOAD_READ)
def receipt(caller: Caller, download_id: UUID) -> Response:
    """Receipt, record and salt in one file: what `weightgate log verify` reads."""
    use = resources()
    with use.database.reading() as session:
        entry = _find(session, caller, download_id)
        note = receipts.again(session, use, entry)
    known = orjson.loads(entry.record)
    answer = {
        "id": known["download"],
        "record": entry.record.decode(),
        "salt": encode_bytes(entry.salt),
        "receipt": note.decode(),
        "files": [{name: file[name] for name in ("path", "size_bytes", "sha256")} for file in known["files"]],
    }
    return saved(orjson.dumps(answer), "application/json", f"{download_id}.receipt.json")


def _find(session: Session, caller: Caller, download_id: UUID) -> LogEntry:
    entry = issuing.find(session, caller, str(download_id))
    if (told := archives.told_of(session, entry, caller)) is not None:
        raise RecordArchived(told)
    if not entry.record:
        raise NotFound("This download's entry was erased as required by law. Its place in the log is kept.")
    return entry


def _rows(session: Session, entries: Sequence[LogEntry], now: datetime) -> list[Row]:
    fetched = deliveries.summaries(session, [str(entry.subject) for entry in entries])
    return [
        Row(orjson.loads(entry.record or b"{}"), entry, fetched.get(str(entry.subject), Summary()), now)
        for entry in entries
    ]


def _csv_lines(caller: Caller, wanted: EntryFilter) -> Iterator[str]:
    """Part by part, so that whoever takes long to receive it holds nothing in the database."""
    use = resources()
    yield exports.csv_line(CSV_COLUMNS)
    after: int | None = None
    while True:
        with use.database.reading() as session:
            found = log_entries.visible(session, caller, wanted, Slice(CSV_ROWS_AT_ONCE, after))
            rows = _rows(session, found.items, use.clock())
            found_slugs = log_entries.slugs(session, found.items)
        for row in rows:
            if row.record or row.is_archived:
                yield exports.csv_line(_cells(row) if row.record else _cells_of_archived(row, found_slugs))
        if found.next_after is None:
            return
        after = found.next_after


def _cells(row: Row) -> tuple[Any, ...]:
    record, actor = row.record, row.record["actor"]
    return (
        record["download"], dates.rfc3339(row.issued_at), actor.get("organization"),
        actor.get("person"), actor.get("token"), actor.get("address"), row.stage, record["checkpoint"],
        len(record["files"]), row.size_bytes, row.fetched.bytes_sent, str(row.state),
        "yes" if row.is_final else "no",
    )  # fmt: skip


def _cells_of_archived(row: Row, slugs: Mapping[int, str]) -> tuple[Any, ...]:
    """What the row still says; what only its record said is left empty."""
    entry = row.entry
    return (
        entry.subject, dates.rfc3339(row.issued_at), slugs.get(entry.organization_id or 0), entry.person, None, None,
        entry.stage, None, None, None, row.fetched.bytes_sent, "archived", "yes",
    )  # fmt: skip
