"""Factors: the authenticator app, passkeys and recovery codes of whoever is signed in."""

import io

import segno
from flask import Blueprint, Response, flash, url_for
from markupsafe import Markup
from wtforms import HiddenField
from wtforms.validators import InputRequired, Length

from server.domain.accounts import factors, passkeys
from server.domain.accounts.ceremonies import Kind
from server.domain.accounts.factors import Passkey
from server.domain.callers import Caller
from server.domain.errors import NotFound, NotPossible
from server.domain.permissions import Permission
from server.web.identity import resources
from server.web.portal.kit import cookies, limits
from server.web.portal.kit.auth import page
from server.web.portal.kit.forms import Act, Form, carried_out, one_time_code, status, text
from server.web.portal.kit.freshness import require_fresh
from server.web.portal.kit.limits import Limit
from server.web.portal.kit.rendering import as_page, done, go_to, render

bp = Blueprint("factors", __name__, url_prefix="/account")


class CodeForm(Form):
    code = one_time_code("Code from the new app", "Six digits. The old app works until you confirm.")


class PasskeyForm(Form):
    """`passkeys.js` fills in the answer."""

    name = text(
        "Name", 100, "To tell your passkeys apart. For example, “work laptop”.", render_kw={"autocomplete": "off"}
    )
    answer = HiddenField(validators=[InputRequired("Your browser did not create a passkey. This requires JavaScript."),
                                     Length(max=50_000)])  # fmt: skip


class NameForm(Form):
    name = text("Name", 100, render_kw={"autocomplete": "off"})


class RecoveryForm(Form):
    newest = HiddenField(validators=[Length(max=20)])


@bp.post("/totp/begin")
@page(Permission.ACCOUNT_MANAGE, fresh=True)
def begin_totp(caller: Caller) -> Response:
    """Begin to replace the authenticator app."""
    Act().require_known_fields()
    cookies.keep_ceremony(Kind.TOTP_REPLACE, factors.begin_totp(resources(), caller))
    return go_to(url_for("factors.totp_form"))


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
    ceremony, code = cookies.ceremony(Kind.TOTP_REPLACE), form.code.data or ""
    if not carried_out(form, caller, lambda: factors.replace_totp(resources(), caller, ceremony, code)):
        return _totp_form(caller, form)
    return _changed(
        "Your new authenticator app is set up, and the old one no longer works. All your other sessions have ended."
    )


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
    return render("account/factors/recovery_codes_made.html", codes=made)


@bp.get("/passkeys/new")
@page(Permission.ACCOUNT_MANAGE)
def new_passkey(caller: Caller) -> Response:
    """Ask for a name, then the browser for the passkey."""
    require_fresh(caller)
    return render("account/factors/new_passkey.html", form=PasskeyForm())


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
    ceremony, answer, name = cookies.ceremony(Kind.PASSKEY_ADD), form.answer.data or "", form.name.data or ""
    if not carried_out(form, caller, lambda: passkeys.add(resources(), caller, ceremony, answer, name)):
        return render("account/factors/new_passkey.html", status(form), form=form)
    return _changed("Passkey added. You can now sign in without a password. All your other sessions have ended.")


@bp.get("/passkeys/<int:passkey_id>")
@page(Permission.ACCOUNT_MANAGE)
def show_passkey(caller: Caller, passkey_id: int) -> Response:
    """One passkey: its name, and how to remove it."""
    passkey = _passkey(caller, passkey_id)
    return render("account/factors/passkey.html", passkey=passkey, form=NameForm(data={"name": passkey.name}))


@bp.post("/passkeys/<int:passkey_id>/name")
@page(Permission.ACCOUNT_MANAGE)
def name_passkey(caller: Caller, passkey_id: int) -> Response:
    """Call it something else."""
    form, passkey = NameForm(), _passkey(caller, passkey_id)
    name = form.name.data or ""
    if not carried_out(form, caller, lambda: factors.name_passkey(resources(), caller, passkey_id, name)):
        return render("account/factors/passkey.html", status(form), passkey=passkey, form=form)
    return _changed("Passkey renamed.")


@bp.post("/passkeys/<int:passkey_id>/remove")
@page(Permission.ACCOUNT_MANAGE, fresh=True)
def remove_passkey(caller: Caller, passkey_id: int) -> Response:
    """Take it away."""
    Act().require_known_fields()
    factors.remove_passkey(resources(), caller, passkey_id)
    return _changed("Passkey removed. All your other sessions have ended.")


def qr(content: str) -> Markup:
    """A QR code as inline SVG: black on white in both themes, as cameras want it."""
    out = io.BytesIO()
    segno.make(content, error="m").save(
        out, kind="svg", scale=5, border=4, dark="#000", light="#fff", xmldecl=False, svgns=True, nl=False,
        svgclass="qr", lineclass=None, omitsize=True, title="QR code for your authenticator app",
    )  # fmt: skip
    return Markup(out.getvalue().decode())  # noqa: S704  # the library's own drawing


def _changed(sentence: str) -> Response:
    return done(url_for("account.show"), sentence)


def _totp_form(caller: Caller, form: CodeForm) -> Response:
    try:
        with resources().database.reading() as session:
            secret = factors.pending_totp(session, resources(), caller, cookies.ceremony(Kind.TOTP_REPLACE))
    except NotPossible as over:
        flash(f"{over.detail} {over.next_step} Your current app still works.", "info")
        return go_to(url_for("account.show"))
    drawing = qr(factors.totp_address(secret, caller.person or ""))
    return render("account/factors/totp.html", status(form), form=form, totp_secret=secret, qr=drawing)


def _recovery_codes(caller: Caller, form: RecoveryForm, status: int = 200) -> Response:
    with resources().database.reading() as session:
        codes = factors.recovery_codes(session, caller)
    form.newest.data = str(max((code.id for code in codes), default=0))
    return render("account/factors/recovery_codes.html", status, form=form, codes=codes)


def _passkey(caller: Caller, passkey_id: int) -> Passkey:
    with resources().database.reading() as session:
        for passkey in factors.passkeys(session, caller.person_id):
            if passkey.id == passkey_id:
                return passkey
    raise NotFound("You have no such passkey.", next_step="Your account page lists your passkeys.")
