"""Reconciliation: which access logs were read, what they told, and what is still provisional."""

from flask import Blueprint, Response

from server.domain.audit import log_entries, log_status
from server.domain.audit.log_entries import EntryFilter
from server.domain.callers import Caller
from server.domain.delivery import log_follower
from server.domain.entry_kinds import EntryKind
from server.domain.permissions import Permission
from server.web.identity import resources
from server.web.portal.kit import records
from server.web.portal.kit.auth import page
from server.web.portal.kit.paging import next_cursor, part
from server.web.portal.kit.rendering import render

bp = Blueprint("audit_reconciliation", __name__, url_prefix="/audit/reconciliation")


@bp.get("")
@page(Permission.LOG_AUDIT)
def index(caller: Caller) -> Response:
    """The runs, newest first, and the logs that are followed as they grow."""
    with resources().database.reading() as session:
        found = log_entries.visible(session, caller, EntryFilter(kind=EntryKind.RECONCILIATION), part())
        runs = [(entry, records.of(entry)) for entry in found.items]
        return render(
            "audit/reconciliation/index.html", runs=runs, next_cursor=next_cursor(found),
            followed=log_follower.followed(session, caller), alarms=log_status.open_alarms(session, caller),
        )  # fmt: skip
