"""Invitations: what an invited person sees: choose a password, set up the second factor, and be signed in."""

from flask import Blueprint, Response, flash, url_for
from markupsafe import Markup

from server.domain.accounts import factors, invitations
from server.domain.accounts.invitations import Invitation
from server.domain.accounts.sign_in import SignedIn
from server.domain.callers import Caller
from server.identity_providers import of_organization, only_way_in
from server.web.identity import resources
from server.web.portal.account.factors import qr
from server.web.portal.kit import cookies, limits
from server.web.portal.kit.auth import public_page
from server.web.portal.kit.forms import Form, new_password, one_time_code, status, text
from server.web.portal.kit.limits import Limit
from server.web.portal.kit.rendering import go_to, render

bp = Blueprint("invitations", __name__)


class AcceptForm(Form):
    name = text("Your name", 200, "As other people will see it here.", render_kw={"autocomplete": "name"})
    password = new_password("Password")
    code = one_time_code("Code from the app", "Six digits. This confirms that the app is set up.")


@bp.get("/invitations/<secret>")
@public_page
def form(caller: Caller, secret: str) -> Response:
    """What an invited person fills in."""
    del caller
    limits.count_here(Limit.LINK_OF_ADDRESS)
    return _form(secret, AcceptForm())


@bp.post("/invitations/<secret>")
@public_page
def accept(caller: Caller, secret: str) -> Response:
    """Make the person, and sign them in."""
    form = AcceptForm()
    limits.count_here(Limit.LINK_OF_ADDRESS)
    if not form.is_sent_well():
        return _form(secret, form, 422)
    name, password, code = form.name.data, form.password.data or "", form.code.data
    done = form.attempt(caller, lambda: invitations.accept(resources(), caller, secret, name, password, code))
    if done is None:
        return _form(secret, form, status(form))
    return welcome(done, "factors.recovery_codes")


def welcome(done: SignedIn, page: str) -> Response:
    """For somebody who has just become a person: on to one of our pages, signed in."""
    response = go_to(url_for(page))
    cookies.give_first(response, done)
    flash("Welcome. Your account is ready, and you are signed in.", "done")
    return response


def app_of(secret: str, invitation: Invitation) -> tuple[str, Markup]:
    """What the invited person's authenticator app must know: in words, and drawn."""
    totp = invitations.totp_secret(resources(), secret)
    return totp, qr(factors.totp_address(totp, invitation.email))


def _form(secret: str, form: AcceptForm, status: int = 200) -> Response:
    with resources().database.reading() as session:
        invitation = invitations.find(session, secret)
    state = None if invitation is None else invitation.state_at(resources().clock())
    if invitation is None or state != "open":
        return _over(invitation, state)
    totp, drawing = app_of(secret, invitation)
    known, home = resources().settings.identity_providers, invitation.organization.slug
    return render(
        "account/invitations/form.html", status, form=form, invitation=invitation, totp_secret=totp, qr=drawing,
        providers=of_organization(known, home), only=only_way_in(known, home), secret=secret,
    )  # fmt: skip


def _over(invitation: Invitation | None, state: str | None) -> Response:
    """Each way in which a link can be of no use, in its own words."""
    what, now = {
        "accepted": ("This invitation has been accepted", "Sign in with the password that you chose."),
        "withdrawn": ("This invitation has been withdrawn", "Ask the person who invited you for a new one."),
        "expired": (
            "This invitation has expired",
            "Ask the person who invited you for a new one. Links are valid for a week.",
        ),
    }.get(state or "", ("Invitation not found", "Open the link in the email again, and check that it is complete."))
    if invitation is not None and state != "accepted":
        now = f"{now} You were invited by {invitation.inviter.name} ({invitation.inviter.email})."
    values = {"code": "invitation_over", "title": what, "now": now, "can_sign_in": state == "accepted"}
    return render("account/invitations/over.html", 404 if invitation is None else 410, **values)
