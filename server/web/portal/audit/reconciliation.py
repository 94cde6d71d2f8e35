"""Reconciliation: which access logs were read, what they told, and what is still provisional."""

from flask import Blueprint, Response

from server.domain import following, log_entries, log_status, reconciliation_run
from server.domain.callers import Caller
from server.domain.log_entries import Wanted
from server.domain.permissions import Permission
from server.web.identity import resources
from server.web.portal import records
from server.web.portal.door import page
from server.web.portal.paging import next_cursor, part
from server.web.portal.rendering import render

bp = Blueprint("audit_reconciliation", __name__, url_prefix="/audit/reconciliation")


@bp.get("")
@page(Permission.LOG_AUDIT)
def index(caller: Caller) -> Response:
    """The runs, newest first, and the logs that are followed as they grow."""
    with resources().database.reading() as session:
        found = log_entries.visible(session, caller, Wanted(kind=reconciliation_run.KIND), part())
        runs = [(entry, records.of(entry)) for entry in found.items]
        return render(
            "audit/reconciliation/index.html", runs=runs, next_cursor=next_cursor(found),
            followed=following.followed(session), alarms=log_status.open_alarms(session),
        )  # fmt: skip
