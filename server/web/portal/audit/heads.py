"""Heads: what each log says of itself, signed; how soundly it is sealed and anchored; and the logs before it."""

from typing import Any

from flask import Blueprint, Response, request

from server.domain.audit import log_status, logs
from server.domain.callers import Caller
from server.domain.permissions import Permission
from server.web.identity import resources
from server.web.portal.kit.auth import page
from server.web.portal.kit.paging import next_cursor, part
from server.web.portal.kit.rendering import render

bp = Blueprint("audit_heads", __name__, url_prefix="/audit/heads")


@bp.get("")
@page(Permission.LOG_AUDIT)
def index(caller: Caller) -> Response:
    """The heads of one log, newest first: of the one that is appended to now, or of a past one."""
    del caller
    use = resources()
    name = request.args.get("log") or None
    with use.database.reading() as session:
        log = logs.named(session, name if name is None or name.isprintable() else "?")
        found = logs.heads(session, log, part())
        values: dict[str, Any] = {"all_logs": logs.newest_first(session), "anchored": logs.anchored(session, log)}
    return render(
        "audit/heads/index.html", log=log, found=found, next_cursor=next_cursor(found), now=log_status.known(use),
        anchors_are_kept=use.settings.anchor_bucket is not None, **values,
    )  # fmt: skip
