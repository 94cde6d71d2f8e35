"""Factors: the authenticator app, passkeys and recovery codes of whoever is signed in."""

from flask import Blueprint, Response, flash, redirect, url_for
from wtforms import HiddenField
from wtforms.validators import InputRequired, Length

from server.domain import factors, passkeys
from server.domain.callers import Caller
from server.domain.ceremonies import Kind
from server.domain.errors import NotFound, NotPossible
from server.domain.factors import Passkey
from server.domain.permissions import Permission
from server.web.identity import resources
from server.web.portal import cookies, limits
from server.web.portal.account import to_account
from server.web.portal.door import page
from server.web.portal.forms import Form, text
from server.web.portal.freshness import require_fresh
from server.web.portal.invitations import CODE, qr
from server.web.portal.limits import Limit
from server.web.portal.rendering import as_page, render

bp = Blueprint("factors", __name__, url_prefix="/account")


class CodeForm(Form):
    code = text("Code that the app now shows", 20, "Six digits. Until then the old app counts.", render_kw=CODE)


class PasskeyForm(Form):
    """`passkeys.js` fills in the answer."""

    name = text("Name", 100, "To tell your passkeys apart, like “work laptop”.", render_kw={"autocomplete": "off"})
    answer = HiddenField(validators=[InputRequired("The browser made no passkey: it needs script for that."),
                                     Length(max=50_000)])  # fmt: skip


class NameForm(Form):
    name = text("Name", 100, render_kw={"autocomplete": "off"})


class RecoveryForm(Form):
    newest = HiddenField(validators=[Length(max=20)])


class EmptyForm(Form):
    """A form that is one button."""


@bp.post("/totp/begin")
@page(Permission.ACCOUNT_MANAGE, fresh=True)
def begin_totp(caller: Caller) -> Response:
    """Begin to replace the authenticator app."""
    EmptyForm().is_sent_well()
    cookies.keep_ceremony(Kind.TOTP_REPLACE, factors.begin_totp(resources(), caller))
    return as_page(redirect(url_for("factors.totp_form"), 303))  # type: ignore[arg-type]


@bp.get("/totp")
@page(Permission.ACCOUNT_MANAGE)
def totp_form(caller: Caller) -> Response:
    """Show what the new app must know."""
    require_fresh(caller)
    return _totp_form(caller, CodeForm())


@bp.post("/totp")
@page(Permission.ACCOUNT_MANAGE, fresh=True)
def replace_totp(caller: Caller) -> Response:
    """Let the new app count."""
    form = CodeForm()
    if not form.is_sent_well():
        return _totp_form(caller, form, 422)
    ceremony = cookies.ceremony(Kind.TOTP_REPLACE)

    def act() -> bool:
        factors.replace_totp(resources(), caller, ceremony, form.code.data or "")
        return True

    if form.attempt(caller, act) is None:
        return _totp_form(caller, form, 422)
    flash("Your new authenticator app works; the old one no longer does. Every other session is ended.", "done")
    return to_account()


@bp.get("/recovery-codes")
@page(Permission.ACCOUNT_MANAGE)
def recovery_codes(caller: Caller) -> Response:
    """How many are left, and how to make others."""
    return _recovery_codes(caller, RecoveryForm())


@bp.post("/recovery-codes")
@page(Permission.ACCOUNT_MANAGE, fresh=True)
def make_recovery_codes(caller: Caller) -> Response:
    """Make ten, and show them once."""
    form = RecoveryForm()
    newest = form.newest.data or ""
    if not form.is_sent_well() or not newest.isdecimal():
        return _recovery_codes(caller, form, 422)
    made = form.attempt(caller, lambda: factors.make_recovery_codes(resources(), caller, int(newest)))
    if made is None:
        return _recovery_codes(caller, form, 409)
    return render("factors/recovery_codes_made.html", codes=made)


@bp.get("/passkeys/new")
@page(Permission.ACCOUNT_MANAGE)
def new_passkey(caller: Caller) -> Response:
    """Ask for a name, then the browser for the passkey."""
    require_fresh(caller)
    return render("factors/new_passkey.html", form=PasskeyForm())


@bp.post("/passkeys/begin")
@page(Permission.ACCOUNT_MANAGE)
def begin_passkey(caller: Caller) -> Response:
    """What the browser is to make."""
    limits.count(Limit.PASSKEY_OF_PERSON, caller.person_id)
    secret, options = passkeys.ask_new(resources(), caller)
    cookies.keep_ceremony(Kind.PASSKEY_ADD, secret)
    return as_page(Response(options, mimetype="application/json"))


@bp.post("/passkeys")
@page(Permission.ACCOUNT_MANAGE, fresh=True)
def add_passkey(caller: Caller) -> Response:
    """Keep what the browser made."""
    form = PasskeyForm()
    if not form.is_sent_well():
        return render("factors/new_passkey.html", 422, form=form)
    ceremony = cookies.ceremony(Kind.PASSKEY_ADD)

    def act() -> bool:
        passkeys.add(resources(), caller, ceremony, form.answer.data or "", form.name.data or "")
        return True

    if form.attempt(caller, act) is None:
        return render("factors/new_passkey.html", 422, form=form)
    flash("The passkey works: with it you sign in without a password. Every other session is ended.", "done")
    return to_account()


@bp.get("/passkeys/<int:passkey_id>")
@page(Permission.ACCOUNT_MANAGE)
def show_passkey(caller: Caller, passkey_id: int) -> Response:
    """One passkey: its name, and how to remove it."""
    passkey = _passkey(caller, passkey_id)
    return render("factors/passkey.html", passkey=passkey, form=NameForm(data={"name": passkey.name}))


@bp.post("/passkeys/<int:passkey_id>/name")
@page(Permission.ACCOUNT_MANAGE)
def name_passkey(caller: Caller, passkey_id: int) -> Response:
    """Call it something else."""
    form, passkey = NameForm(), _passkey(caller, passkey_id)

    def act() -> bool:
        factors.name_passkey(resources(), caller, passkey_id, form.name.data or "")
        return True

    if not form.is_sent_well() or form.attempt(caller, act) is None:
        return render("factors/passkey.html", 422, passkey=passkey, form=form)
    flash("The passkey has its new name.", "done")
    return to_account()


@bp.post("/passkeys/<int:passkey_id>/remove")
@page(Permission.ACCOUNT_MANAGE, fresh=True)
def remove_passkey(caller: Caller, passkey_id: int) -> Response:
    """Take it away."""
    EmptyForm().is_sent_well()
    factors.remove_passkey(resources(), caller, passkey_id)
    flash("The passkey opens nothing any more. Every other session is ended.", "done")
    return to_account()


def _totp_form(caller: Caller, form: CodeForm, status: int = 200) -> Response:
    try:
        with resources().database.reading() as session:
            secret = factors.pending_totp(session, resources(), caller, cookies.ceremony(Kind.TOTP_REPLACE))
    except NotPossible as over:
        flash(f"{over.detail} {over.next_step} Your present app still works.", "info")
        return to_account()
    drawing = qr(factors.totp_address(secret, caller.person or ""))
    return render("factors/totp.html", status, form=form, totp_secret=secret, qr=drawing)


def _recovery_codes(caller: Caller, form: RecoveryForm, status: int = 200) -> Response:
    with resources().database.reading() as session:
        codes = factors.recovery_codes(session, caller)
    form.newest.data = str(max((code.id for code in codes), default=0))
    return render("factors/recovery_codes.html", status, form=form, codes=codes)


def _passkey(caller: Caller, passkey_id: int) -> Passkey:
    with resources().database.reading() as session:
        for passkey in factors.passkeys(session, caller.person_id):
            if passkey.id == passkey_id:
                return passkey
    raise NotFound("You have no such passkey.", next_step="Your account page lists those that you have.")
