"""Health: is the process alive, and can it issue. One word each; the details are `doctor`'s."""

from flask import Blueprint, Response

from server import migrations
from server.domain import beginning
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
    """Whether a download could be issued now."""
    use = resources()
    try:
        ready = beginning.has_begun(use) and migrations.is_current(use.settings.database_url)
    except DatabaseUnavailable:
        ready = False
    return Response("ready\n" if ready else "not ready\n", status=200 if ready else 503, mimetype="text/plain")
