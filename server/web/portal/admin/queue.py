"""The queue: what waits for whoever looks, and what they proposed and somebody else must approve."""

from flask import Blueprint, Response

from server.domain.callers import Caller
from server.domain.operation import queue
from server.domain.permissions import Permission
from server.web.identity import resources
from server.web.portal.admin.lab import lab_page
from server.web.portal.kit.rendering import render

bp = Blueprint("admin_queue", __name__, url_prefix="/admin/queue")


@bp.get("")
@lab_page(Permission.CLEARANCE_APPROVE)
def show(caller: Caller) -> Response:
    """Everything that waits, the oldest first."""
    use = resources()
    at = use.clock()
    with use.database.reading() as session:
        return render("admin/queue/show.html", queue=queue.waiting(session, caller, at), now=at)
