"""Health: is the process alive, and can it issue. One word each; the details are `doctor`'s."""

from flask import Blueprint, Flask, Response, current_app

from server.domain.operation.readiness import Readiness
from server.domain.resources import Resources
from server.web.identity import open_to_all

bp = Blueprint("health", __name__)
_READINESS = "weightgate readiness"


def prepare(app: Flask, use: Resources) -> None:
    """What was found is remembered for all requests of the app."""
    app.extensions[_READINESS] = Readiness(use)


@bp.get("/healthz")
@open_to_all
def healthz() -> Response:
    return Response("alive\n", mimetype="text/plain")


@bp.get("/readyz")
@open_to_all
def readyz() -> Response:
    """Whether a download could be issued now: what that needs is tried at most once a second."""
    ready = current_app.extensions[_READINESS].is_ready()
    return Response("ready\n" if ready else "not ready\n", status=200 if ready else 503, mimetype="text/plain")
