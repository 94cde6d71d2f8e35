"""Check it yourself: a page whose script verifies receipts and proofs, here or saved as one file."""

import base64
import hashlib

from flask import Blueprint, Response, render_template
from markupsafe import Markup

from server.domain.audit import logs
from server.domain.callers import Caller
from server.web.identity import resources
from server.web.portal.kit import static_files
from server.web.portal.kit.auth import public_page
from server.web.portal.kit.rendering import render, saved
from server.web.portal.kit.static_files import FOLDER

bp = Blueprint("help_check", __name__, url_prefix="/help/check")
SCRIPTS = ("proofs.js", "check.js")


@bp.get("")
@public_page
def show(caller: Caller) -> Response:  # noqa: ARG001  # a page for everybody
    """The page, with the keys of every log of this server."""
    return render("help/check/show.html", keys=_keys())


@bp.get("/offline")
@public_page
def offline(caller: Caller) -> Response:  # noqa: ARG001  # a page for everybody
    """The same page as one file, which needs neither this server nor any network.

    Its own policy names its script and its style by their hashes, so nothing else runs in it.
    """
    script, style = _together(SCRIPTS), static_files.style()
    policy = f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; base-uri 'none'"
    page = render_template(
        "help/check/offline.html", keys=_keys(), policy=policy,
        script=Markup(script), style=Markup(style),  # noqa: S704  # files of ours, which hold no end tag
    )  # fmt: skip
    return saved(page, "text/html", "weightgate-check.html")


def _keys() -> list[str]:
    """The keys that sign heads and receipts, newest log first."""
    with resources().database.reading() as session:
        return [key for log in logs.newest_first(session) for key in (log.vkey, log.receipt_vkey)]


def _together(names: tuple[str, ...]) -> str:
    return "\n".join((FOLDER / name).read_text(encoding="utf-8") for name in names)


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
