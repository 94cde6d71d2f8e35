"""People: the lab's own, one of anybody's, and inviting, disabling, enabling, changing a role."""

from functools import partial

from flask import Blueprint, Response, flash, request, url_for
from wtforms import HiddenField, SelectField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than its stubs
from wtforms.validators import InputRequired, Regexp

from server.domain.accounts import granting, invitations
from server.domain.callers import Caller
from server.domain.identity import email_addresses, organizations, people, role_grants, tokens
from server.domain.identity.organizations import SLUG
from server.domain.paging import Slice
from server.domain.permissions import Permission, Role
from server.web.identity import resources
from server.web.portal.admin.lab import found, lab_page
from server.web.portal.kit import paging
from server.web.portal.kit.forms import Act, Form, carried_out, status, text
from server.web.portal.kit.rendering import done, go_to, render

bp = Blueprint("admin_people", __name__, url_prefix="/admin/people")
ONE = "/<int:person_id>"
PARTNER_ROLES = (Role.MEMBER, Role.OWNER)
LAB_ROLES = (Role.AUDITOR, Role.PUBLISHER, Role.ADMIN)  # the one who can do least comes first
ROLES = [
    SelectChoice(str(role), str(role), optgroup=name)
    for name, roles in (("A partner's", PARTNER_ROLES), ("Lab", LAB_ROLES))
    for role in roles
]
INVITATIONS_SHOWN = Slice(20)


class Invitation(Form):
    """Who is to come."""

    organization = text("Organization", 64, "The organization's ID. For staff, the lab's own ID.")
    email = text("Email address", 254, "We send a link that works once to this address.", render_kw={"type": "email"})
    role = SelectField("Role", choices=ROLES)


class Withdrawal(Form):
    """Which page to go back to."""

    organization = HiddenField(validators=[InputRequired(), Regexp(SLUG)])


class RoleChange(Form):
    """What somebody is from now on."""

    role = SelectField("Role")


@bp.get("")
@lab_page(Permission.PERSON_MANAGE)
def index(caller: Caller) -> Response:
    """Lab own people, and who is invited."""
    with resources().database.reading() as session:
        lab, at = organizations.find(session, caller, caller.organization), resources().clock()
        found = people.of_organization(session, caller, lab.id, paging.part())
        return render(
            "admin/people/index.html", organization=lab, now=at, page_of=found,
            grants=role_grants.of_people(session, [person.id for person in found.items]),
            invitations=invitations.of_organization(session, caller, lab.id, INVITATIONS_SHOWN),
        )  # fmt: skip


@bp.get("/invite")
@lab_page(Permission.PERSON_MANAGE)
def invite_form(caller: Caller) -> Response:
    """The form; arriving from an organization's page, it is named already."""
    form = Invitation()
    form.organization.data = request.args.get("organization", "")[:64] or caller.organization
    form.role.data = str((LAB_ROLES if form.organization.data == caller.organization else PARTNER_ROLES)[0])
    return _invitation(form)


@bp.post("/invite")
@lab_page(Permission.PERSON_MANAGE, fresh=True)
def invite(caller: Caller) -> Response:
    """Send somebody a link that makes them a person of an organization."""
    use, form = resources(), Invitation()
    well = form.is_sent_well()
    if well:
        with use.database.reading() as session:
            well = found(form.organization, lambda: organizations.find(session, caller, form.organization.data))
    slug, email = form.organization.data, form.email.data
    act = partial(invitations.invite, use, caller, slug, email, Role(form.role.data)) if well else None
    sent = None if act is None else form.attempt(caller, act)
    if sent is None:
        return _invitation(form)
    return done(_home(slug, caller), f"Invitation sent to {email_addresses.shown(sent.email)}.")


@bp.get(ONE)
@lab_page(Permission.PERSON_READ)
def show(caller: Caller, person_id: int) -> Response:
    """Somebody, and what can be done about them."""
    return _shown(caller, person_id, Act(), "show")


@bp.get(f"{ONE}/disable")
@lab_page(Permission.PERSON_MANAGE)
def disable_form(caller: Caller, person_id: int) -> Response:
    """What disabling does at once."""
    return _shown(caller, person_id, Act(), "disable")


@bp.post(f"{ONE}/disable")
@lab_page(Permission.PERSON_MANAGE, fresh=True)
def disable(caller: Caller, person_id: int) -> Response:
    """Stop a person, their sessions and their tokens."""
    form, email = Act(), _email(caller, person_id)
    revoked = form.attempt(caller, lambda: people.disable(resources(), caller, email)) if form.is_sent_well() else None
    if revoked is None:
        return _shown(caller, person_id, form, "disable")
    return done(_address(person_id), f"{email} is disabled. Tokens revoked: {revoked}.")


@bp.post(f"{ONE}/enable")
@lab_page(Permission.PERSON_MANAGE, fresh=True)
def enable(caller: Caller, person_id: int) -> Response:
    """Let a disabled person act again."""
    form, email = Act(), _email(caller, person_id)
    if not carried_out(form, caller, lambda: people.enable(resources(), caller, email)):
        return _shown(caller, person_id, form, "show")
    return done(_address(person_id), f"{email} is enabled again. Revoked tokens stay revoked.")


@bp.get(f"{ONE}/role")
@lab_page(Permission.PERSON_MANAGE)
def role_form(caller: Caller, person_id: int) -> Response:
    """The role as it is."""
    return _shown(caller, person_id, RoleChange(), "role")


@bp.post(f"{ONE}/role")
@lab_page(Permission.PERSON_MANAGE, fresh=True)
def role(caller: Caller, person_id: int) -> Response:
    """Make somebody another role of their partner; in the lab, propose it."""
    form, use = RoleChange(), resources()
    with use.database.reading() as session:
        person = people.by_id(session, caller, person_id)
        _offer(form, person)
    change = granting.propose if person.organization.is_lab else people.change_role
    if not carried_out(form, caller, lambda: change(use, caller, person.email, Role(form.role.data))):
        return _shown(caller, person_id, form, "role")
    if person.organization.is_lab:
        said = f"The role {form.role.data} is proposed for {person.email}. Another admin must approve it."
        return done(_address(person_id), said)
    return done(_address(person_id), f"{person.email} now has the role {form.role.data}.")


@bp.post(f"{ONE}/role/approve")
@lab_page(Permission.ROLE_GRANT, fresh=True)
def approve_role(caller: Caller, person_id: int) -> Response:
    """Give somebody the role that another admin proposed."""
    form, email = Act(), _email(caller, person_id)
    if not carried_out(form, caller, lambda: granting.approve(resources(), caller, email)):
        return _shown(caller, person_id, form, "show")
    return done(_address(person_id), f"{email} has the role now.")


@bp.post(f"{ONE}/role/reject")
@lab_page(Permission.ROLE_GRANT, fresh=True)
def reject_role(caller: Caller, person_id: int) -> Response:
    """Close a proposed role."""
    form, email = Act(), _email(caller, person_id)
    if not carried_out(form, caller, lambda: granting.reject(resources(), caller, email)):
        return _shown(caller, person_id, form, "show")
    return done(_address(person_id), f"The role that was proposed for {email} is not given.")


@bp.post("/invitations/<int:invitation_id>/withdraw")
@lab_page(Permission.PERSON_MANAGE, fresh=True)
def withdraw_invitation(caller: Caller, invitation_id: int) -> Response:
    """Make an invitation's link worthless."""
    use, form = resources(), Withdrawal()
    slug = str(form.organization.data)  # of the page to go back to
    if carried_out(form, caller, lambda: invitations.withdraw(use, caller, invitation_id)):
        return done(_home(slug, caller), "Invitation withdrawn. Its link no longer works.")
    if form.refused is not None:
        flash(form.refused.detail, "bad")  # the page it leads to shows how things are now
    return go_to(_home(slug, caller))


@bp.post("/invitations/<int:invitation_id>/resend")
@lab_page(Permission.PERSON_MANAGE, fresh=True)
def resend_invitation(caller: Caller, invitation_id: int) -> Response:
    """Send a new link in place of the one that was lost."""
    use, form = resources(), Withdrawal()
    slug = str(form.organization.data)  # of the page to go back to
    if carried_out(form, caller, lambda: invitations.resend(use, caller, invitation_id)):
        return done(_home(slug, caller), "A new invitation has been sent. The earlier link no longer works.")
    if form.refused is not None:
        flash(form.refused.detail, "bad")
    return go_to(_home(slug, caller))


def _shown(caller: Caller, person_id: int, form: Form, name: str) -> Response:
    use = resources()
    at = use.clock()
    with use.database.reading() as session:
        person = people.by_id(session, caller, person_id)
        if isinstance(form, RoleChange):
            _offer(form, person)
        return render(
            f"admin/people/{name}.html", status(form), form=form, person=person,
            live_tokens=tokens.live_of(session, caller, person.id, at), standing=granting.standing_of(session, person),
        )  # fmt: skip


def _offer(form: RoleChange, person: people.Person) -> None:
    roles = LAB_ROLES if person.organization.is_lab else PARTNER_ROLES
    form.role.choices = {str(role): str(role) for role in roles}
    if form.role.data is None or not form.is_submitted():
        form.role.data = str(person.role)


def _invitation(form: Invitation) -> Response:
    return render("admin/people/invite.html", status(form), form=form)


def _email(caller: Caller, person_id: int) -> str:
    with resources().database.reading() as session:
        return people.by_id(session, caller, person_id).email


def _home(slug: str, caller: Caller) -> str:
    """The page that lists an organization's people."""
    if slug == caller.organization:
        return url_for("admin_people.index")
    return url_for("admin_organizations.show", slug=slug, _anchor="people")


def _address(person_id: int) -> str:
    return url_for("admin_people.show", person_id=person_id)
