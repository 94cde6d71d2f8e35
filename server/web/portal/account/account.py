"""Account: how one signs in, where one is signed in, and what one has done."""

from typing import Any

from flask import Blueprint, Response, request, url_for
from sqlalchemy.orm import Session
from wtforms import HiddenField

from server.domain.accounts import factors, granting
from server.domain.audit import log_entries
from server.domain.audit.log_entries import EntryFilter
from server.domain.callers import Caller
from server.domain.identity import linked_identities
from server.domain.identity.people import Person
from server.domain.permissions import Permission, Role
from server.identity_providers import of_organization, only_way_in
from server.log.entries import LogEntry
from server.web.identity import resources
from server.web.portal.account.sessions import recent
from server.web.portal.account.sign_in import passkey_options
from server.web.portal.kit import freshness, limits, paging, records
from server.web.portal.kit.auth import page
from server.web.portal.kit.forms import Form, carried_out, current_password, new_password, status
from server.web.portal.kit.freshness import require_fresh
from server.web.portal.kit.limits import Limit
from server.web.portal.kit.refused import local_path
from server.web.portal.kit.rendering import done, go_to, render

bp = Blueprint("account", __name__, url_prefix="/account")


class FirstPasswordForm(Form):
    new_password = new_password()


class PasswordForm(FirstPasswordForm):
    current_password = current_password("Current password")


class ConfirmForm(Form):
    next = HiddenField()


@bp.get("")
@page(Permission.ACCOUNT_MANAGE)
def show(caller: Caller) -> Response:
    """All of it at a glance; to somebody without a role also what they wait for."""
    with resources().database.reading() as session:
        person = session.get_one(Person, caller.person_id)
        return render(
            "account/show.html", person=person,
            standing=granting.standing_of(session, person) if caller.role is Role.PENDING else None,
            passkeys=factors.passkeys(session, caller.person_id),
            codes_left=sum(code.used_at is None for code in factors.recovery_codes(session, caller)),
            recent=recent(session, caller), **_identities(session, caller),
        )  # fmt: skip


@bp.get("/activity")
@page(Permission.ACCOUNT_MANAGE)
def activity(caller: Caller) -> Response:
    """What one has done, by the log."""
    with resources().database.reading() as session:
        found = log_entries.visible(session, caller, EntryFilter(person=caller.person), paging.part())
        entries = [(entry, _about(entry)) for entry in found.items]
        signed_in = recent(session, caller)
    return render("account/activity.html", entries=entries, next_cursor=paging.next_cursor(found), recent=signed_in)


@bp.get("/password")
@page(Permission.ACCOUNT_MANAGE)
def password_form(caller: Caller) -> Response:
    """Ask for the present and the new one."""
    require_fresh(caller)
    return render("account/password.html", form=_password_form(caller))


@bp.post("/password")
@page(Permission.ACCOUNT_MANAGE, fresh=True)
def password(caller: Caller) -> Response:
    """Replace it."""
    form = _password_form(caller)
    if not form.is_sent_well():
        return render("account/password.html", 422, form=form)
    limits.count(Limit.PASSWORD_OF_PERSON, caller.person_id)
    present = form.current_password.data or "" if isinstance(form, PasswordForm) else ""
    new = form.new_password.data or ""
    if not carried_out(form, caller, lambda: factors.change_password(resources(), caller, present, new)):
        return render("account/password.html", status(form), form=form)
    limits.forgive(Limit.PASSWORD_OF_PERSON, caller.person_id)
    sentence = "Your password has been changed. You are still signed in here and signed out everywhere else."
    return done(url_for("account.show"), sentence)


@bp.get("/confirm")
@page(Permission.ACCOUNT_MANAGE)
def confirm_form(caller: Caller) -> Response:
    """Ask for proof before a page that needs it."""
    wanted = local_path(request.args.get("next"))
    if caller.fresh:
        return go_to(wanted)
    return freshness.ask(caller, url_for("account.confirm"), [("next", wanted)], None)


@bp.post("/confirm")
@page(Permission.ACCOUNT_MANAGE, fresh=True)
def confirm(caller: Caller) -> Response:
    """The proof was right: go on to the page."""
    del caller
    form = ConfirmForm()
    form.require_known_fields()
    return go_to(local_path(form.next.data))


@bp.post("/confirm/passkey")
@page(Permission.ACCOUNT_MANAGE)
def confirm_passkey(caller: Caller) -> Response:
    """What the browser is to answer with one of the person's passkeys."""
    limits.count(Limit.PASSKEY_OF_PERSON, caller.person_id)
    return passkey_options(caller.person_id)


def _password_form(caller: Caller) -> FirstPasswordForm:
    """Who came by an identity provider has no password yet that could be asked for."""
    with resources().database.reading() as session:
        person = session.get_one(Person, caller.person_id)
    return PasswordForm() if person.has_password else FirstPasswordForm()


def _identities(session: Session, caller: Caller) -> dict[str, Any]:
    """The person's identities, each with the provider that it is of if there is one, and those that can be added."""
    known = resources().settings.identity_providers
    linked = linked_identities.of_person(session, caller.person_id)
    by_issuer = {one.issuer: one for one in known}
    mine = of_organization(known, caller.organization or "")
    return {
        "identities": [(one, by_issuer.get(one.issuer)) for one in linked],
        "linkable": [one for one in mine if one.issuer not in {each.issuer for each in linked}],
        "only": only_way_in(known, caller.organization or ""),
    }


def _about(entry: LogEntry) -> str:
    """What of an entry tells its person which one it is."""
    record = records.of(entry)
    told = [record.get(name) for name in ("stage", "factor", "name", "person", "agreement")]
    known = [text for text in told if isinstance(text, str) and text != record.get("actor", {}).get("person")]
    return ", ".join(known) or entry.subject or ""
