"""Sign-in by an identity provider: the way there and back, for signing in, confirming, linking and accepting."""

from collections.abc import Callable

from flask import Blueprint, Response, flash, request, url_for
from wtforms import HiddenField

from server.domain.accounts import (
    accepted_identities,
    identity_links,
    invitations,
    provider_ceremonies,
    provider_sign_in,
)
from server.domain.accounts.accepted_identities import Accepted
from server.domain.accounts.ceremonies import Kind
from server.domain.accounts.provider_ceremonies import Back, Purpose
from server.domain.callers import Caller
from server.domain.permissions import Permission
from server.web.identity import resources
from server.web.portal.account import sign_in
from server.web.portal.account.invitations import app_of, welcome
from server.web.portal.kit import cookies, kept_forms, limits
from server.web.portal.kit.auth import page, public_page, visitor
from server.web.portal.kit.forms import Act, Form, one_time_code, status, text
from server.web.portal.kit.limits import Limit
from server.web.portal.kit.refused import local_path
from server.web.portal.kit.rendering import done, go_to, render

bp = Blueprint("provider_sign_in", __name__)


class BeginForm(Form):
    next = HiddenField()


class AcceptForm(Form):
    name = text("Your name", 200, "As other people will see it here.", render_kw={"autocomplete": "name"})


class AcceptWithAppForm(AcceptForm):
    code = one_time_code("Code from the app", "Six digits. This confirms that the app is set up.")


@bp.get("/sign-in/with/<provider>")
@public_page
def form(caller: Caller, provider: str) -> Response:
    """The one button, for people of a provider that the sign-in page does not name."""
    wanted = local_path(request.args.get("next"))
    if caller.session_id is not None:
        return go_to(wanted)
    return _form(provider, BeginForm(data={"next": wanted}))


@bp.post("/sign-in/with/<provider>")
@public_page
def begin(caller: Caller, provider: str) -> Response:
    """Send somebody to the provider, to come back signed in."""
    del caller
    form = BeginForm()
    if not form.is_sent_well():
        return _form(provider, form, 422)
    limits.count_here(Limit.PROVIDER_OF_ADDRESS)
    return _leave(provider, Purpose.SIGN_IN, wanted=local_path(form.next.data))


@bp.post("/invitations/<secret>/with/<provider>")
@public_page
def begin_accepting(caller: Caller, secret: str, provider: str) -> Response:
    """The same for an invited person, to come back as the one who accepts."""
    del caller
    limits.count_here(Limit.LINK_OF_ADDRESS)
    if not Act().is_sent_well():
        return go_to(url_for("invitations.form", secret=secret))
    with resources().database.reading() as session:
        invitations.require_provider(session, resources(), secret, provider)
    return _leave(provider, Purpose.ACCEPT, invitation=secret)


@bp.post("/account/identities/link/<provider>")
@page(Permission.ACCOUNT_MANAGE, fresh=True)
def begin_linking(caller: Caller, provider: str) -> Response:
    """The same for somebody who is signed in, to come back with an identity to link."""
    if not Act().is_sent_well():
        return go_to(url_for("account.show"))
    identity_links.require_linkable(caller)
    return _leave(provider, Purpose.LINK, caller.person_id, url_for("account.show"))


@bp.post("/account/identities/<int:identity_id>/unlink")
@page(Permission.ACCOUNT_MANAGE, fresh=True)
def unlink(caller: Caller, identity_id: int) -> Response:
    """Take one away."""
    Act().require_known_fields()
    identity_links.unlink(resources(), caller, identity_id)
    return done(url_for("account.show"), "Identity removed. All your other sessions have ended.")


@bp.post("/account/confirm/with/<provider>")
@page(Permission.ACCOUNT_MANAGE)
def begin_confirming(caller: Caller, provider: str) -> Response:
    """The same to come back proven anew; what was typed for the act is kept meanwhile, and then shown."""
    limits.count(Limit.PROOF_OF_PERSON, caller.person_id)
    action, fields = local_path(request.form.get("proof_action")), kept_forms.typed()
    if action == url_for("account.confirm"):
        wanted = local_path(dict(fields).get("next"))
    elif kept_forms.keep_as(action, fields, confirmed=True):
        wanted = url_for("kept_forms.show")
    else:
        wanted = local_path(request.form.get("proof_back"))
    return _leave(provider, Purpose.CONFIRM, caller.person_id, wanted)


@bp.get("/sign-in/with/<provider>/return")
@public_page
def come_back(caller: Caller, provider: str) -> Response:
    """Where providers send people back to."""
    limits.count_here(Limit.PROVIDER_OF_ADDRESS)
    ceremony = cookies.ceremony(Kind.PROVIDER)
    back = provider_ceremonies.bring_back(resources(), provider, ceremony, request.args)
    cookies.drop_ceremony(Kind.PROVIDER)
    return _COMPLETED[back.purpose](caller, back)


@bp.get("/sign-in/accept")
@public_page
def accept_form(caller: Caller) -> Response:
    """What an invited person still fills in."""
    del caller
    accepted = accepted_identities.kept(resources(), cookies.ceremony(Kind.PROVIDER_ACCEPT))
    return _accept_form(accepted, _form_of(accepted)(data={"name": accepted.name}))


@bp.post("/sign-in/accept")
@public_page
def accept(caller: Caller) -> Response:
    """Make the person, and sign them in."""
    limits.count_here(Limit.LINK_OF_ADDRESS)
    ceremony = cookies.ceremony(Kind.PROVIDER_ACCEPT)
    accepted = accepted_identities.kept(resources(), ceremony)
    form = _form_of(accepted)()
    if not form.is_sent_well():
        return _accept_form(accepted, form, 422)
    code = form.code.data if isinstance(form, AcceptWithAppForm) else ""
    done = form.attempt(
        caller, lambda: invitations.accept_with_identity(resources(), caller, ceremony, form.name.data, code)
    )
    if done is None:
        return _accept_form(accepted, form, status(form))
    return welcome(done, "factors.recovery_codes" if code else "account.show")


def _form(provider: str, form: BeginForm, status: int = 200) -> Response:
    known = provider_ceremonies.client(resources(), provider).provider
    return render("account/provider_sign_in/form.html", status, form=form, provider=known)


def _leave(
    provider: str, purpose: Purpose, person_id: int | None = None, wanted: str = "/", invitation: str = ""
) -> Response:
    """A page of ours that leads on by itself. A redirect would be the form's, which may lead to ourselves only, and
    providers send people on to hosts that nobody here knows.
    """
    ceremony, address = provider_ceremonies.begin(resources(), provider, purpose, person_id, wanted, invitation)
    cookies.keep_ceremony(Kind.PROVIDER, ceremony)
    known = provider_ceremonies.client(resources(), provider).provider
    response = render("account/provider_sign_in/leaving.html", provider=known, address=address)
    response.headers["Refresh"] = f"0; url={address}"
    return response


def _signed_in(caller: Caller, back: Back) -> Response:
    """Signed in, or on to the second factor."""
    completed = provider_sign_in.complete(resources(), caller, back)
    if isinstance(completed, str):
        cookies.keep_ceremony(Kind.SECOND_FACTOR, completed)
        return go_to(url_for("sign_in.second_form", next=None if back.wanted == "/" else back.wanted))
    return sign_in.signed_in(caller, completed, back.wanted)


def _confirmed(_: Caller, back: Back) -> Response:
    caller = visitor()
    caller.require(Permission.ACCOUNT_MANAGE)
    proven = provider_sign_in.confirm(resources(), caller, back)
    limits.forgive(Limit.PROOF_OF_PERSON, caller.person_id)
    if back.wanted != url_for("kept_forms.show"):
        flash("Confirmed. You can continue.", "done")
    response = go_to(back.wanted)
    cookies.give(response, proven)
    return response


def _linked(_: Caller, back: Back) -> Response:
    caller = visitor()
    identity_links.link(resources(), caller, back)
    sentence = f"You can now sign in with {back.provider.name}. All your other sessions have ended."
    return done(back.wanted, sentence)


def _accepting(_: Caller, back: Back) -> Response:
    cookies.keep_ceremony(Kind.PROVIDER_ACCEPT, accepted_identities.keep(resources(), back))
    return go_to(url_for("provider_sign_in.accept_form"))


_COMPLETED: dict[Purpose, Callable[[Caller, Back], Response]] = {
    Purpose.SIGN_IN: _signed_in, Purpose.CONFIRM: _confirmed, Purpose.LINK: _linked, Purpose.ACCEPT: _accepting,
}  # fmt: skip


def _form_of(accepted: Accepted) -> type[AcceptForm]:
    return AcceptForm if accepted.has_second_factor else AcceptWithAppForm


def _accept_form(accepted: Accepted, form: AcceptForm, status: int = 200) -> Response:
    with resources().database.reading() as session:
        invitation = invitations.require_known(session, accepted.invitation)
    secret, drawing = app_of(accepted.invitation, invitation)
    return render(
        "account/provider_sign_in/accept.html", status, form=form, accepted=accepted, invitation=invitation,
        totp_secret=secret, qr=drawing,
    )  # fmt: skip
