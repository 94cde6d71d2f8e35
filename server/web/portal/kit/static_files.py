"""Static files: style, scripts, icons. Named with their content's hash, so that a browser may keep them for good."""

import hashlib
from functools import cache
from pathlib import Path

from flask import Blueprint, Flask, Response, send_from_directory, url_for

from server.web.identity import open_to_all

bp = Blueprint("static_files", __name__, url_prefix="/static")
FOLDER = Path(__file__).parents[2] / "static"
STYLE = "style.css"  # made of these:
STYLES = ("vendor/modern-normalize/modern-normalize.css", "portal.css")


def register(app: Flask) -> None:
    app.jinja_env.globals["static"] = address


@bp.get("/<path:name>")
@open_to_all
def file(name: str) -> Response:
    """One file."""
    response = Response(style(), mimetype="text/css") if name == STYLE else send_from_directory(FOLDER, name)
    response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    return response


def address(name: str) -> str:
    """The address of a file, which changes with its content."""
    return url_for("static_files.file", name=name, v=_version(name))


@cache
def style() -> str:
    """The one stylesheet of every page: ours, with the vendored one as its weakest layer.

    A stylesheet of its own could only stand outside of our layers, where it would be stronger than all of them.
    """
    normalize, ours = ((FOLDER / name).read_text(encoding="utf-8") for name in STYLES)
    return f"@layer normalize {{\n{normalize}}}\n\n{ours}"


@cache
def _version(name: str) -> str:
    content = style().encode() if name == STYLE else (FOLDER / name).read_bytes()
    return hashlib.sha256(content).hexdigest()[:12]
