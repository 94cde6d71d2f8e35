"""Sessions: where one is signed in, and how to end that."""

from collections.abc import Sequence
from dataclasses import dataclass

from flask import Blueprint, Response, url_for
from sqlalchemy.orm import Session

from server.domain.callers import Caller
from server.domain.identity import sessions
from server.domain.identity.sessions import SignIn
from server.domain.paging import Slice
from server.domain.permissions import Permission
from server.web.identity import resources
from server.web.portal.account.sign_in import signed_out
from server.web.portal.kit import paging
from server.web.portal.kit.auth import page
from server.web.portal.kit.rendering import done, render

bp = Blueprint("sessions", __name__, url_prefix="/account/sessions")
RECENT = 5
# In this order, since most call themselves by others' names as well.
_BROWSERS = (("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
_SYSTEMS = (
    ("Windows", "Windows"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("Mac OS", "macOS"),
    ("Linux", "Linux"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shown:
    """A session as its person sees it. state: this, open or ended."""

    row: SignIn
    state: str
    program: str


@bp.get("")
@page(Permission.ACCOUNT_MANAGE)
def index(caller: Caller) -> Response:
    """All of the last months, newest first."""
    with resources().database.reading() as session:
        found = sessions.own(session, caller, paging.part())
    shown, limits = _shown(caller, found.items), sessions.limits_of(caller.role or "")
    return render("account/sessions/index.html", sessions=shown, next_cursor=paging.next_cursor(found), limits=limits)


@bp.post("/<int:session_id>/end")
@page(Permission.ACCOUNT_MANAGE)
def end(caller: Caller, session_id: int) -> Response:
    """End one; the own one is signing out."""
    sessions.end(resources(), caller, session_id)
    if session_id == caller.session_id:
        return signed_out()
    return done(url_for("sessions.index"), "Session ended.")


@bp.post("/end-others")
@page(Permission.ACCOUNT_MANAGE)
def end_others(caller: Caller) -> Response:
    """End all but this one."""
    sessions.end_others(resources(), caller)
    return done(url_for("sessions.index"), "All your other sessions have ended. You are signed in only here.")


def recent(session: Session, caller: Caller) -> list[Shown]:
    """The newest few."""
    return _shown(caller, sessions.own(session, caller, Slice(RECENT)).items)


def _shown(caller: Caller, rows: Sequence[SignIn]) -> list[Shown]:
    at = resources().clock()
    role = caller.role or ""
    return [Shown(row, _state(caller, row, sessions.has_ended(row, role, at)), program(row.user_agent)) for row in rows]


def program(user_agent: str | None) -> str:
    """`Firefox on Windows`: enough for a person to know their own; what a browser says of itself proves nothing."""
    sent = user_agent or ""
    browser = next((name for mark, name in _BROWSERS if mark in sent), None)
    system = next((name for mark, name in _SYSTEMS if mark in sent), None)
    return " on ".join(part for part in (browser, system) if part) or sent[:40] or "unknown browser"


def _state(caller: Caller, row: SignIn, is_over: bool) -> str:
    if row.id == caller.session_id:
        return "this"
    return "ended" if is_over else "open"
