"""People: everybody of one's organization; its owners invite, change roles, disable and enable."""

from functools import partial

from flask import Blueprint, Response, request, url_for
from sqlalchemy.orm import Session
from wtforms import RadioField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than its stubs
from wtforms.validators import InputRequired

from server.domain.accounts import factors, invitations
from server.domain.callers import Caller
from server.domain.errors import NotFound
from server.domain.identity import email_addresses, people, sessions, tokens
from server.domain.identity.people import Person
from server.domain.paging import Slice
from server.domain.permissions import Permission, Role
from server.web.identity import resources
from server.web.portal.kit import paging
from server.web.portal.kit.forms import Act, Form, carried_out, status, text
from server.web.portal.kit.rendering import done, render
from server.web.portal.partner.partners import partner_page

bp = Blueprint("people_pages", __name__, url_prefix="/people")
ONE = "/<int:person_id>"
INVITATIONS_SHOWN = Slice(invitations.OPEN_AT_MOST)  # that is all that can wait
ROLES = [
    SelectChoice(str(Role.MEMBER), "Member: downloads, creates tokens, requests access"),
    SelectChoice(str(Role.OWNER), "Owner: also signs agreements and manages people"),
]


def _role_field() -> RadioField:
    return RadioField("Role", [InputRequired("Choose a role.")], choices=ROLES)


class Invitation(Form):
    """Who is to come."""

    email = text("Email address", 254, "We send a link that works once to this address.", render_kw={"type": "email"})
    role = _role_field()


class RoleChange(Form):
    """What somebody is from now on."""

    role = _role_field()


@bp.get("")
@partner_page(Permission.PERSON_READ)
def index(caller: Caller) -> Response:
    """Everybody of one's organization."""
    use = resources()
    with use.database.reading() as session:
        found = people.visible(session, caller, paging.part())
        seen = sessions.last_seen(session, [person.id for person in found.items])
        invited = _open_invitations(session, caller) if caller.role is Role.OWNER else []
    return render(
        "partner/people/index.html", people=found.items, seen=seen, invited=invited, args=request.args,
        next_cursor=paging.next_cursor(found),
    )  # fmt: skip


@bp.get("/invite")
@partner_page(Permission.PERSON_MANAGE)
def invite_form(caller: Caller) -> Response:
    """The form."""
    del caller
    form = Invitation()
    form.role.data = str(Role.MEMBER)
    return render("partner/people/invite.html", form=form)


@bp.post("/invite")
@partner_page(Permission.PERSON_MANAGE)
def invite(caller: Caller) -> Response:
    """Send somebody a link that makes them a person of one's organization."""
    form, home = Invitation(), str(caller.organization)
    act = partial(invitations.invite, resources(), caller, home, form.email.data)
    sent = form.attempt(caller, lambda: act(Role(form.role.data))) if form.is_sent_well() else None
    if sent is None:
        return render("partner/people/invite.html", status(form), form=form)
    return done(url_for(".index"), f"Invitation sent to {email_addresses.shown(sent.email)}.")


@bp.post("/invitations/<int:invitation_id>/withdraw")
@partner_page(Permission.PERSON_MANAGE)
def withdraw_invitation(caller: Caller, invitation_id: int) -> Response:
    """Make an invitation's link useless."""
    Act().require_known_fields()
    with resources().database.reading() as session:
        email = _invitation(session, caller, invitation_id).email
    invitations.withdraw(resources(), caller, invitation_id)
    return done(url_for(".index"), f"The invitation for {email} has been withdrawn. Its link no longer works.")


@bp.post("/invitations/<int:invitation_id>/resend")
@partner_page(Permission.PERSON_MANAGE)
def resend_invitation(caller: Caller, invitation_id: int) -> Response:
    """Send a new link in place of the one that was lost."""
    Act().require_known_fields()
    made = invitations.resend(resources(), caller, invitation_id)
    return done(url_for(".index"), f"A new invitation has been sent to {made.email}. The earlier link no longer works.")


@bp.get(ONE)
@partner_page(Permission.PERSON_MANAGE)
def show(caller: Caller, person_id: int) -> Response:
    """Somebody, and what an owner can do about them."""
    return _shown(caller, person_id, "show", RoleChange())


@bp.post(f"{ONE}/role")
@partner_page(Permission.PERSON_MANAGE)
def change_role(caller: Caller, person_id: int) -> Response:
    """Make somebody an owner, or a member."""
    form, person = RoleChange(), _person(caller, person_id)
    if not carried_out(
        form, caller, lambda: people.change_role(resources(), caller, person.email, Role(form.role.data))
    ):
        return _shown(caller, person_id, "show", form)
    return done(
        url_for(".show", person_id=person_id),
        f"{person.name} is {'an owner' if form.role.data == 'owner' else 'a member'} now.",
    )


@bp.get(f"{ONE}/disable")
@partner_page(Permission.PERSON_MANAGE)
def disable_form(caller: Caller, person_id: int) -> Response:
    """What disabling does."""
    return _shown(caller, person_id, "disable", Act())


@bp.post(f"{ONE}/disable")
@partner_page(Permission.PERSON_MANAGE)
def disable(caller: Caller, person_id: int) -> Response:
    """Stop a person, their sessions and their tokens."""
    form, person = Act(), _person(caller, person_id)
    revoked = None
    if form.is_sent_well():
        revoked = form.attempt(caller, lambda: people.disable(resources(), caller, person.email))
    if revoked is None:
        return _shown(caller, person_id, "disable", form)
    return done(url_for(".show", person_id=person_id), f"{person.name} is disabled. Tokens revoked: {revoked}.")


@bp.post(f"{ONE}/enable")
@partner_page(Permission.PERSON_MANAGE)
def enable(caller: Caller, person_id: int) -> Response:
    """Let a disabled person act again."""
    form, person = Act(), _person(caller, person_id)
    if not carried_out(form, caller, lambda: people.enable(resources(), caller, person.email)):
        shown = RoleChange()
        shown.refused = form.refused
        return _shown(caller, person_id, "show", shown)
    return done(url_for(".show", person_id=person_id), f"{person.name} can sign in again. Revoked tokens stay revoked.")


def _person(caller: Caller, person_id: int) -> Person:
    with resources().database.reading() as session:
        return people.by_id(session, caller, person_id)


def _open_invitations(session: Session, caller: Caller) -> list[invitations.Invitation]:
    at, home = resources().clock(), caller.organization_id or 0
    return list(invitations.of_organization(session, caller, home, INVITATIONS_SHOWN, waiting_at=at).items)


def _invitation(session: Session, caller: Caller, invitation_id: int) -> invitations.Invitation:
    """One that still works. To others' owners it does not exist."""
    for one in _open_invitations(session, caller):
        if one.id == invitation_id:
            return one
    raise NotFound(
        "This invitation does not exist, or its link no longer works.", next_step="Check the list of people."
    )


def _shown(caller: Caller, person_id: int, template: str, form: Form) -> Response:
    use = resources()
    with use.database.reading() as session:
        person = people.by_id(session, caller, person_id)
        values = {
            "person": person,
            "seen": sessions.last_seen(session, [person.id]).get(person.id),
            "passkeys": len(factors.passkeys(session, person.id)),
            "live_tokens": tokens.live_of(session, caller, person.id, use.clock()),
        }
    if isinstance(form, RoleChange) and form.role.data is None:
        form.role.data = str(person.role)
    return render(f"partner/people/{template}.html", status(form), form=form, **values)
