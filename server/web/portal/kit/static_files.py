"""Static files: style, scripts, icons. Named with their content's hash, so that a browser may keep them for good."""

import hashlib
from functools import cache
from pathlib import Path

from flask import Blueprint, Flask, Response, send_from_directory, url_for

from server.web.identity import open_to_all

bp = Blueprint("static_files", __name__, url_prefix="/static")
FOLDER = Path(__file__).parents[2] / "static"


def register(app: Flask) -> None:
    app.jinja_env.globals["static"] = address


@bp.get("/<path:name>")
@open_to_all
def file(name: str) -> Response:
    """One file."""
    response = send_from_directory(FOLDER, name)
    response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    return response


def address(name: str) -> str:
    """The address of a file, which changes with its content."""
    return url_for("static_files.file", name=name, v=_version(name))


@cache
def _version(name: str) -> str:
    return hashlib.sha256((FOLDER / name).read_bytes()).hexdigest()[:12]
