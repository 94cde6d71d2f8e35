"""Health: is the process alive, and can it issue. One word each; the details are `doctor`'s."""

from flask import Blueprint, Response

from server import migrations
from server.log import condition
from server.log.condition import LogUnsound
from server.log.entries import NoLog
from server.storage.database import DatabaseUnavailable
from server.web.identity import open_to_all, resources

bp = Blueprint("health", __name__)


@bp.get("/healthz")
@open_to_all
def healthz() -> Response:
    return Response("alive\n", mimetype="text/plain")


@bp.get("/readyz")
@open_to_all
def readyz() -> Response:
    """Whether a download could be issued now: schema, and a log that is sound and sealed."""
    use = resources()
    try:
        with use.database.reading() as session:
            ready = migrations.is_current(session.connection())
            if ready:
                condition.require_sound(session, use.clock())
    except (DatabaseUnavailable, NoLog, LogUnsound):
        ready = False
    return Response("ready\n" if ready else "not ready\n", status=200 if ready else 503, mimetype="text/plain")
