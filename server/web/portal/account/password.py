"""Password: what to do when it is forgotten: ask for a link by mail, and choose a new one with the second factor."""

from flask import Blueprint, Response, url_for

from server.domain.accounts import password_resets
from server.domain.callers import Caller
from server.domain.errors import NotPossible
from server.web.identity import resources
from server.web.portal.kit import limits
from server.web.portal.kit.auth import public_page
from server.web.portal.kit.forms import Form, carried_out, new_password, text
from server.web.portal.kit.limits import Limit
from server.web.portal.kit.rendering import done, go_to, render

bp = Blueprint("password", __name__, url_prefix="/password")


class ForgottenForm(Form):
    email = text("Email address", 254, "The address that you sign in with.",
                 render_kw={"type": "email", "autocomplete": "username"})  # fmt: skip


class ResetForm(Form):
    password = new_password()
    code = text("Code from your authenticator app, or a recovery "
                "code", 60, "The link alone is not enough to reset your password.",
                render_kw={"autocomplete": "one-time-code", "spellcheck": "false"})  # fmt: skip


@bp.get("/forgotten")
@public_page
def forgotten_form(caller: Caller) -> Response:
    """Ask for the address."""
    del caller
    return render("account/password/forgotten.html", form=ForgottenForm())


@bp.post("/forgotten")
@public_page
def forgotten(caller: Caller) -> Response:
    """Send a link, if there is such a person; the answer does not tell."""
    del caller
    form = ForgottenForm()
    limits.count_here(Limit.MAIL_OF_ADDRESS)
    if not form.is_sent_well():
        return render("account/password/forgotten.html", 422, form=form)
    limits.count(Limit.MAIL_OF_ACCOUNT, form.email.data)
    password_resets.ask(resources(), form.email.data)
    return go_to(url_for("password.sent"))


@bp.get("/sent")
@public_page
def sent(caller: Caller) -> Response:
    """What happens now, whoever asked."""
    del caller
    return render("account/password/sent.html")


@bp.get("/<secret>")
@public_page
def reset_form(caller: Caller, secret: str) -> Response:
    """Ask for the new password."""
    del caller
    limits.count_here(Limit.LINK_OF_ADDRESS)
    return _form(secret, ResetForm())


@bp.post("/<secret>")
@public_page
def reset(caller: Caller, secret: str) -> Response:
    """Replace the password."""
    form = ResetForm()
    limits.count_here(Limit.LINK_OF_ADDRESS)
    new, code = form.password.data or "", form.code.data
    if not carried_out(form, caller, lambda: password_resets.reset(resources(), caller, secret, new, code)):
        return _form(secret, form, 422)
    sentence = "Your password has been reset, and you are signed out everywhere. Sign in with the new one."
    return done(url_for("sign_in.form"), sentence)


def _form(secret: str, form: ResetForm, status: int = 200) -> Response:
    try:
        with resources().database.reading() as session:
            password_resets.require_open(session, resources(), secret)
    except NotPossible as over:
        values = {"code": "password_reset_over", "title": "This link no longer works", "detail": over.detail}
        return render("account/password/over.html", 410, **values)
    return render("account/password/reset.html", status, form=form)
