"""Exports: the openings of entries as a file, and who took such files before."""

from collections.abc import Iterator

from flask import Blueprint, Response
from wtforms import RadioField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than its stubs

from server.domain.audit import exports, log_entries
from server.domain.audit.exports import Format
from server.domain.audit.log_entries import EntryFilter
from server.domain.callers import Caller
from server.domain.entry_kinds import EntryKind
from server.domain.permissions import Permission
from server.web.identity import resources
from server.web.portal.kit import records
from server.web.portal.kit.auth import page
from server.web.portal.kit.filters import EntryFilters
from server.web.portal.kit.paging import next_cursor, part
from server.web.portal.kit.rendering import render, saved

bp = Blueprint("audit_exports", __name__, url_prefix="/audit/exports")
PART_CHARACTERS = 65_536
_TYPES = {"jsonl": "application/jsonl", "csv": "text/csv"}


class Export(EntryFilters):
    """Which entries, and as what."""

    format = RadioField(
        "Format", default="jsonl",
        choices=[
            SelectChoice("jsonl", "JSON Lines: the exact data behind each commitment"),
            SelectChoice("csv", "CSV: for spreadsheets"),
        ],
    )  # fmt: skip


@bp.get("")
@page(Permission.LOG_AUDIT)
def index(caller: Caller) -> Response:
    """The form, and the exports before."""
    return _page(caller, Export())


@bp.post("")
@page(Permission.LOG_AUDIT, fresh=True)
def create(caller: Caller) -> Response:
    """The file, as it is read: an export is an act, and the log has it before the first line leaves."""
    asked, use = Export(), resources()
    with use.database.reading() as session:
        wanted = asked.wanted(session, caller) if asked.is_sent_well() else None
    if wanted is None:
        return _page(caller, asked, 422)
    form: Format = asked.format.data
    lines = exports.chosen(use, caller, form, wanted)
    name = f"log-{use.clock():%Y-%m-%dT%H%M%SZ}.{form}"
    return saved(_in_parts(lines), _TYPES[form], name)


def _in_parts(lines: Iterator[str]) -> Iterator[bytes]:
    """Some lines at a time: each part is a write to the network."""
    for line in lines:
        together, size = [line], len(line)
        while size < PART_CHARACTERS and (more := next(lines, None)) is not None:
            together.append(more)
            size += len(more)
        yield "".join(together).encode()


def _page(caller: Caller, form: Export, status: int = 200) -> Response:
    with resources().database.reading() as session:
        found = log_entries.visible(session, caller, EntryFilter(kind=EntryKind.LOG_EXPORT), part())
    before = [(entry, records.of(entry)) for entry in found.items]
    return render(
        "audit/exports/index.html",
        status,
        form=form,
        before=before,
        next_cursor=next_cursor(found),
    )
