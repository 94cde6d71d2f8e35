"""Sign-in: the password on one page, the second factor on the next; or a passkey on the first, without either."""

from flask import Blueprint, Response, flash, request, url_for
from wtforms import HiddenField
from wtforms.validators import InputRequired, Length

from server.domain.accounts import factors, passkeys, sign_in
from server.domain.accounts.ceremonies import Kind
from server.domain.accounts.sign_in import SignedIn
from server.domain.callers import Caller
from server.domain.errors import InvalidCredentials, InvalidRequest, NotFound, NotPossible
from server.domain.identity import sessions
from server.domain.identity.people import Person
from server.domain.permissions import Role
from server.web.identity import resources
from server.web.portal.kit import cookies, limits
from server.web.portal.kit.auth import public_page
from server.web.portal.kit.forms import Form, current_password, one_time_code, text
from server.web.portal.kit.limits import Limit
from server.web.portal.kit.refused import local_path
from server.web.portal.kit.rendering import as_page, go_to, render

bp = Blueprint("sign_in", __name__)


class PasswordForm(Form):
    email = text("Email address", 254, render_kw={"type": "email", "autocomplete": "username"})
    password = current_password("Password")
    next = HiddenField()


class CodeForm(Form):
    code = one_time_code("Code from your authenticator app", "Six digits; a new one every 30 seconds.")
    next = HiddenField()


class RecoveryForm(Form):
    code = text("Recovery code", 60, "One of the ten codes that you printed or saved. Each works once.",
                render_kw={"autocomplete": "off", "spellcheck": "false", "autocapitalize": "off"})  # fmt: skip
    next = HiddenField()


class PasskeyForm(Form):
    """What `passkeys.js` fills in."""

    answer = HiddenField(validators=[InputRequired("Your browser did not respond."), Length(max=20_000)])
    next = HiddenField()


@bp.get("/sign-in")
@public_page
def form(caller: Caller) -> Response:
    """Ask for the password, or a passkey: whoever began before, and left it, begins again."""
    if caller.session_id is not None:
        return go_to(_next())
    cookies.drop_ceremony(Kind.SECOND_FACTOR)
    return _form(PasswordForm(data={"next": _next()}))


@bp.post("/sign-in")
@public_page
def begin(caller: Caller) -> Response:
    """Take the password."""
    del caller
    form = PasswordForm()
    if not form.is_sent_well():
        return _form(form, 422)
    limits.count_sign_in(form.email.data)
    try:
        ceremony = sign_in.begin(resources(), form.email.data, form.password.data or "")
    except InvalidCredentials as refused:
        form.refused = InvalidRequest(refused.detail, next_step="Try again, or reset your password.")
        return _form(form, 422)
    limits.forgive_sign_in(form.email.data)
    cookies.keep_ceremony(Kind.SECOND_FACTOR, ceremony)
    return go_to(url_for("sign_in.second_form", next=_unless_home(local_path(form.next.data))))


@bp.get("/sign-in/second-factor")
@public_page
def second_form(caller: Caller) -> Response:
    """Ask for the second factor."""
    if caller.session_id is not None:
        return go_to(_next())
    return _second_form(CodeForm(data={"next": _next()}))


@bp.post("/sign-in/second-factor")
@public_page
def second(caller: Caller) -> Response:
    """Take a one-time code."""
    form = CodeForm()
    person = _waiting()
    if person is None:
        return _again()
    if not form.is_sent_well():
        return _second_form(form, 422)
    limits.count(Limit.SECOND_FACTOR_OF_PERSON, person.id)
    ceremony = cookies.ceremony(Kind.SECOND_FACTOR)
    done = form.attempt(caller, lambda: sign_in.by_totp(resources(), caller, ceremony, form.code.data))
    return _second_form(form, 422) if done is None else _second_shown(caller, person, done, form)


@bp.get("/sign-in/recovery-code")
@public_page
def recovery_form(caller: Caller) -> Response:
    """Ask for a recovery code."""
    if caller.session_id is not None:
        return go_to(_next())
    return _recovery_form(RecoveryForm(data={"next": _next()}))


@bp.post("/sign-in/recovery-code")
@public_page
def recovery(caller: Caller) -> Response:
    """Take a recovery code, and say how many are left."""
    form = RecoveryForm()
    person = _waiting()
    if person is None:
        return _again()
    if not form.is_sent_well():
        return _recovery_form(form, 422)
    limits.count(Limit.SECOND_FACTOR_OF_PERSON, person.id)
    ceremony = cookies.ceremony(Kind.SECOND_FACTOR)
    done = form.attempt(caller, lambda: sign_in.by_recovery_code(resources(), caller, ceremony, form.code.data))
    if done is None:
        return _recovery_form(form, 422)
    response = _second_shown(caller, person, done, form)
    left = "1 recovery code is" if done.codes_left == 1 else f"{done.codes_left} recovery codes are"
    flash(f"{left} left. Make new ones on your account page before you run out.", "warn")
    return response


@bp.post("/sign-in/passkey/begin")
@public_page
def passkey_begin(caller: Caller) -> Response:
    """What the browser is to answer with a passkey: anybody's, or after a password that person's."""
    del caller
    limits.count_here(Limit.PASSKEY_OF_ADDRESS)
    person = _waiting()
    return passkey_options(None if person is None else person.id)


@bp.post("/sign-in/passkey")
@public_page
def passkey(caller: Caller) -> Response:
    """Take a passkey's answer."""
    form = PasskeyForm()
    limits.count_here(Limit.PASSKEY_OF_ADDRESS)
    person = _waiting()
    if not form.is_sent_well():
        return _passkey_refused(form, person)
    challenge = cookies.ceremony(Kind.PASSKEY)
    ceremony = None if person is None else cookies.ceremony(Kind.SECOND_FACTOR)
    done = form.attempt(
        caller, lambda: sign_in.by_passkey(resources(), caller, challenge, form.answer.data or "", ceremony)
    )
    return _passkey_refused(form, person) if done is None else _second_shown(caller, person, done, form)


@bp.post("/sign-out")
@public_page
def leave(caller: Caller) -> Response:
    """End the session."""
    _end(caller)
    return signed_out()


def signed_out() -> Response:
    """For whoever has just ended their own session."""
    response = go_to(url_for("sign_in.form"))
    cookies.take(response)
    flash("You are signed out.", "done")  # after: taking the cookie forgets what waits to be said
    return response


def passkey_options(person_id: int | None) -> Response:
    """Begin a proof by passkey; the browser gets what to answer, and holds the ceremony."""
    secret, options = passkeys.ask(resources(), person_id)
    cookies.keep_ceremony(Kind.PASSKEY, secret)
    return as_page(Response(options, mimetype="application/json"))


def _form(form: PasswordForm, status: int = 200) -> Response:
    providers = [one for one in resources().settings.identity_providers if one.on_sign_in_page]
    return render("account/sign_in/form.html", status, form=form, providers=providers)


def _second_form(form: CodeForm, status: int = 200) -> Response:
    person = _waiting()
    if person is None:
        return _again()
    with resources().database.reading() as session:
        has_passkey = bool(factors.passkeys(session, person.id))
    return render("account/sign_in/second_factor.html", status, form=form, person=person, has_passkey=has_passkey)


def _recovery_form(form: RecoveryForm, status: int = 200) -> Response:
    person = _waiting()
    return (
        _again() if person is None else render("account/sign_in/recovery_code.html", status, form=form, person=person)
    )


def _passkey_refused(form: PasskeyForm, person: Person | None) -> Response:
    """Back to the page that it was asked on, which says why."""
    page: PasswordForm | CodeForm
    page = PasswordForm(formdata=None) if person is None else CodeForm(formdata=None)
    page.next.data = local_path(form.next.data)
    page.refused = form.refused or InvalidRequest("Your browser did not respond.", next_step="Try again.")
    return _form(page, 422) if isinstance(page, PasswordForm) else _second_form(page, 422)


def _waiting() -> Person | None:
    """Who has shown the password in this browser, and has a few minutes left for the second factor."""
    try:
        return sign_in.waiting(resources(), cookies.ceremony(Kind.SECOND_FACTOR))
    except NotPossible:
        return None


def _again() -> Response:
    """Minutes of absence, five wrong codes, or the back button after all was done: none is anybody's fault."""
    flash("This sign-in took too long, was already completed, or was tried too many times. Start again.", "info")
    return go_to(url_for("sign_in.form", next=_unless_home(_next())))


def _second_shown(caller: Caller, person: Person | None, done: SignedIn, form: Form) -> Response:
    if person is not None:
        limits.forgive(Limit.SECOND_FACTOR_OF_PERSON, person.id)
    return signed_in(caller, done, local_path(form.next.data))


def signed_in(caller: Caller, done: SignedIn, wanted: str) -> Response:
    """For whoever has just signed in: on to where they want to go. What they had been before ends."""
    _end(caller)
    if wanted == "/" and done.role is Role.ADMIN:
        wanted = url_for("admin_queue.show")  # what waits for them; the ladder is one click away
    response = go_to(wanted)
    cookies.give_first(response, done)
    return response


def _end(caller: Caller) -> None:
    """End what was there before; it may have ended by itself."""
    if caller.session_id is not None:
        try:
            sessions.end(resources(), caller, caller.session_id)
        except NotFound:
            return


def _next() -> str:
    return local_path(request.values.get("next"))


def _unless_home(wanted: str) -> str | None:
    """Addresses stay short: home is where one goes anyway."""
    return None if wanted == "/" else wanted
