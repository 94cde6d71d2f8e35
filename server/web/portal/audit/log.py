"""The log's entries: the list with its filters, and one entry with its record, its leaf and its proof."""

from dataclasses import replace

from flask import Blueprint, Response
from sqlalchemy.orm import Session
from wtforms import BooleanField

from server.domain.audit import archives, log_entries
from server.domain.audit.log_entries import EntryFilter
from server.domain.callers import Caller
from server.domain.delivery import alarms
from server.domain.entry_kinds import EntryKind
from server.domain.errors import NotSealedYet, RecordArchived
from server.domain.permissions import Permission
from server.log.entries import LogEntry
from server.web.identity import resources
from server.web.portal.kit import entries, records
from server.web.portal.kit.auth import page
from server.web.portal.kit.filters import EntryFilters, of_address
from server.web.portal.kit.paging import next_cursor, part
from server.web.portal.kit.rendering import go_to, render, saved

bp = Blueprint("audit_log", __name__, url_prefix="/audit/log")


class Filters(EntryFilters):
    """Which entries the list shows; its heartbeats would bury the rest."""

    heartbeats = BooleanField("Show heartbeats")

    def wanted(self, session: Session, caller: Caller) -> EntryFilter | None:
        found = super().wanted(session, caller)
        return None if found is None else replace(found, heartbeats=self.heartbeats.data)


@bp.get("")
@page(Permission.LOG_READ)
def index(caller: Caller) -> Response:
    """The entries, newest first: for staff all, for partners those of their organization."""
    form: Filters = of_address(Filters)
    with resources().log_reading.newest() as session:
        if not form.validate() or (wanted := form.wanted(session, caller)) is None:
            return render("audit/log/index.html", 422, form=form, found=None)
        found = log_entries.visible(session, caller, wanted, part())
        runs = records.folded(found.items) if wanted.kind is None else [("", [entry]) for entry in found.items]
        return render(
            "audit/log/index.html", form=form, found=found, runs=runs, next_cursor=next_cursor(found),
            about=records.about, slugs=log_entries.slugs(session, found.items),
        )  # fmt: skip


@bp.get("/<int:entry_id>")
@page(Permission.LOG_READ)
def show(caller: Caller, entry_id: int) -> Response:
    """One entry by its row, until it is sealed; then on to its place."""
    with resources().log_reading.newest() as session:
        entry = log_entries.get(session, caller, entry_id)
        return _shown(session, caller, entry) if entry.leaf_index is None else go_to(entries.address(entry))


@bp.get("/<name>/<int:place>")
@page(Permission.LOG_READ)
def at_place(caller: Caller, name: str, place: int) -> Response:
    """One entry by its place in the tree of a log."""
    with resources().log_reading.newest() as session:
        return _shown(session, caller, log_entries.at_place(session, caller, name, place))


@bp.get("/<name>/<int:place>/proof")
@page(Permission.LOG_READ)
def proof(caller: Caller, name: str, place: int) -> Response:
    """The file that proves the entry's place, to be checked without asking anybody."""
    with resources().log_reading.newest() as session:
        checked = log_entries.check(session, log_entries.at_place(session, caller, name, place))
    if checked.proof is None:
        raise NotSealedYet
    return saved(checked.proof, "text/plain", f"entry-{name}-{place}.tlog-proof")


@bp.get("/<name>/<int:place>/record")
@page(Permission.LOG_READ)
def record(caller: Caller, name: str, place: int) -> Response:
    """The exact bytes that were committed to."""
    with resources().log_reading.newest() as session:
        entry = log_entries.at_place(session, caller, name, place)
        if (told := archives.told_of(session, entry, caller)) is not None:
            raise RecordArchived(told)
    return saved(entry.record, "application/json", f"entry-{name}-{place}.json")


def _shown(session: Session, caller: Caller, entry: LogEntry) -> Response:
    is_alarm = entry.kind == EntryKind.ALARM and caller.is_staff
    told = records.of(entry)
    erased = log_entries.get(session, caller, told["entry"]) if entry.kind == EntryKind.ENTRY_ERASE and told else None
    return render(
        "audit/log/show.html", entry=entry, record=told, facts=records.facts(told), erased=erased,
        checked=log_entries.check(session, entry), archived=archives.told_of(session, entry, caller),
        alarm=alarms.of_entry(session, entry) if is_alarm else None,
        slug=log_entries.slugs(session, [entry]).get(entry.organization_id or 0),
    )  # fmt: skip
