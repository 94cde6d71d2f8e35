"""Device logins: letting a program on another machine have a token, after a look at who asks."""

from typing import Any

from flask import Blueprint, Response, url_for

from server.domain.callers import Caller
from server.domain.errors import NotFound
from server.domain.identity import device_logins
from server.domain.permissions import Permission
from server.web.identity import resources
from server.web.portal.kit import limits
from server.web.portal.kit.auth import page
from server.web.portal.kit.forms import Act, Form, carried_out, status, text
from server.web.portal.kit.limits import Limit
from server.web.portal.kit.rendering import done, go_to, render
from server.web.portal.partner.tokens import Wishes

bp = Blueprint("device_login_pages", __name__, url_prefix="/device")


class CodeForm(Form):
    """The code that the program shows."""

    user_code = text(
        "Code", 20, "Eight letters, as your program shows them.",
        render_kw={"autocomplete": "off", "autocapitalize": "characters", "spellcheck": "false"},
    )  # fmt: skip


@bp.get("")
@page(Permission.TOKEN_CREATE)
def index(caller: Caller) -> Response:  # noqa: ARG001  # it looks the same to everybody
    """Where the code is typed."""
    return _asked(CodeForm())


@bp.post("")
@page(Permission.TOKEN_CREATE)
def enter(caller: Caller) -> Response:
    """Find what waits under the code."""
    form = CodeForm()
    if not form.is_sent_well():
        return _asked(form)
    try:
        code = _waiting(caller, form.user_code.data)["user_code"]
    except NotFound as unknown:
        form.user_code.errors = [f"{unknown.detail} {unknown.next_step}"]
        return _asked(form)
    return go_to(url_for(".show", user_code=code))


@bp.get("/<user_code>")
@page(Permission.TOKEN_CREATE)
def show(caller: Caller, user_code: str) -> Response:
    """Who asks, from where, and for what."""
    known, form = _waiting(caller, user_code), Wishes()
    form.offer(caller.role)
    form.name.data = known["name"]
    form.scopes.data = [scope for scope in known["scopes"] if scope in form.offered]
    return _shown(known, form)


@bp.post("/<user_code>/approve")
@page(Permission.TOKEN_CREATE, fresh=True)
def approve(caller: Caller, user_code: str) -> Response:
    """Let the program have a token."""
    known, form = _waiting(caller, user_code), Wishes()
    form.offer(caller.role)
    if not carried_out(
        form, caller,
        lambda: device_logins.approve(
            resources(), caller, user_code, form.name.data, form.chosen, form.lifetime, form.allowed_from
        ),
    ):  # fmt: skip
        return _shown(known, form)
    return done(url_for("token_pages.index"), f"{form.name.data} gets its token in a moment. You can revoke it here.")


@bp.post("/<user_code>/deny")
@page(Permission.TOKEN_CREATE)
def deny(caller: Caller, user_code: str) -> Response:
    """Let it have none."""
    known, form = _waiting(caller, user_code), Act()
    if not carried_out(form, caller, lambda: device_logins.deny(resources(), caller, user_code)):
        return _shown(known, form)
    return done(url_for("token_pages.index"), f"{known['name']} gets no token.")


def _waiting(caller: Caller, typed: str) -> dict[str, Any]:
    """What is known of the program. Whoever tries codes at random does not get far (RFC 8628, section 5.1)."""
    use = resources()
    with use.database.reading() as session:
        try:
            row = device_logins.waiting(session, caller, typed, use.clock())
        except NotFound:
            limits.count(Limit.DEVICE_CODE_OF_PERSON, caller.person_id)
            raise
        return {
            "user_code": device_logins.shown(row.user_code), "name": row.name, "scopes": row.scopes.split(),
            "address": row.address, "began_at": row.began_at,
        }  # fmt: skip


def _asked(form: CodeForm) -> Response:
    return render("partner/device_logins/index.html", status(form), form=form)


def _shown(known: dict[str, Any], form: Form) -> Response:
    return render("partner/device_logins/show.html", status(form), form=form, known=known)
