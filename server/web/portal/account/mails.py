"""Mails: the development page. It shows what would have been sent, to anybody on this machine, and nowhere else."""

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from flask import Blueprint, Response, request

from server.domain.callers import Caller
from server.domain.errors import NotFound
from server.domain.mail import mails
from server.settings import is_loopback
from server.web.identity import resources
from server.web.portal.kit import paging
from server.web.portal.kit.auth import public_page
from server.web.portal.kit.rendering import render

bp = Blueprint("mails", __name__)
_LINK = re.compile(r"https?://[^\s<>\"]+")


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a mail's text. path: where it leads here, if it is a link to this server."""

    text: str
    path: str | None = None


@bp.get("/mails")
@public_page
def index(caller: Caller) -> Response:
    """The outbox, newest first."""
    _require_loopback(caller)
    with resources().database.reading() as session:
        found = mails.listed(session, paging.part())
        return render("account/mails/index.html", mails=found.items, next_cursor=paging.next_cursor(found))


@bp.get("/mails/<int:mail_id>")
@public_page
def show(caller: Caller, mail_id: int) -> Response:
    """One mail, as its reader would see it, but that only links to this server can be followed."""
    _require_loopback(caller)
    with resources().database.reading() as session:
        mail = mails.get(session, mail_id)
        return render("account/mails/show.html", mail=mail, pieces=_pieces(mail.text, resources().settings.public_url))


def _require_loopback(caller: Caller) -> None:
    """Neither another machine nor a page of a foreign host, whose name was made to lead here, reads mails."""
    try:
        here = ipaddress.ip_address(caller.address or "").is_loopback
        named = urlsplit(f"//{request.host}").hostname or ""
    except ValueError:
        raise NotFound from None
    if not here or not is_loopback(named):
        raise NotFound


def _pieces(text: str, public_url: str) -> list[Piece]:
    pieces, end = [], 0
    for link in _LINK.finditer(text):
        written = link[0].rstrip(".,;:)")
        pieces.append(Piece(text[end : link.start()]))
        ours = written == public_url or written.startswith(f"{public_url}/")
        pieces.append(Piece(written, written.removeprefix(public_url) or "/") if ours else Piece(written))
        end = link.start() + len(written)
    return [*pieces, Piece(text[end:])]
