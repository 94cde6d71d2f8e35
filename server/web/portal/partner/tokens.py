"""Tokens: making one, seeing when it was last used, rotating and revoking it. A token's text is shown once."""

import secrets
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from flask import Blueprint, Response, request, url_for
from sqlalchemy.orm import Session
from wtforms import Field, HiddenField, RadioField, SelectMultipleField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than its stubs
from wtforms.validators import InputRequired, Regexp, ValidationError
from wtforms.widgets import CheckboxInput, ListWidget

from server import dates
from server.domain.callers import Caller
from server.domain.errors import NotFound
from server.domain.identity import people, token_uses, tokens
from server.domain.identity.people import Person
from server.domain.identity.tokens import NewToken, Token
from server.domain.identity.workload_tokens import WorkloadToken
from server.domain.permissions import POLICY, PURPOSE, Permission, Role, Scope
from server.web.identity import resources
from server.web.portal.kit import paging
from server.web.portal.kit.auth import page
from server.web.portal.kit.forms import Act, Form, carried_out, long_text, status, text
from server.web.portal.kit.freshness import require_fresh
from server.web.portal.kit.rendering import done, render

bp = Blueprint("token_pages", __name__, url_prefix="/tokens")
LIFETIME_DAYS = 30  # what the form proposes
PRESETS = (7, 30, 90)
SCOPES = {
    Scope.STAGES_READ: "See stages, checkpoints and their files",
    Scope.DOWNLOADS_CREATE: "Download files",
    Scope.LOG_READ: "Read the log",
    Scope.CHECKPOINTS_PUBLISH: "Publish checkpoints",
    Scope.FINDINGS_CREATE: "Report findings, and read those you may see",
    Scope.FINDINGS_READ: "Read findings, without reporting any",
}


def _new_key() -> str:
    return secrets.token_urlsafe(16)


def _any(_: Any, field: Field) -> None:
    # Not InputRequired: browsers would then demand that each box is checked.
    if not field.data:
        raise ValidationError("Choose at least one.")


def _sure(caller: Caller) -> Caller:
    """A token of staff's opens every stage for weeks: making one needs a proof of just now, like any act of the lab."""
    return require_fresh(caller) if caller.is_staff else caller


class MadeOnce(Form):
    """A form that makes one token, however often it is sent: by a reload, the back button, a second click."""

    made_with = HiddenField("Form key", [InputRequired(), Regexp(r"[A-Za-z0-9_-]{22,64}\Z")], default=_new_key)

    def renew(self) -> None:
        """Before it is shown once more: what it asked for is not done, and may be asked for again."""
        self.made_with.data = _new_key()


def scope_boxes() -> SelectMultipleField:
    """A field of one checkbox for each scope that is offered."""
    return SelectMultipleField(
        "Permissions", [_any],
        widget=ListWidget(prefix_label=False), option_widget=CheckboxInput(),
    )  # fmt: skip


def labelled(scopes: Iterable[Scope]) -> list[SelectChoice]:
    """Scopes with their sentences."""
    return [SelectChoice(str(scope), f"{SCOPES[scope]} ({scope})") for scope in scopes]


class Wishes(Form):
    """What a token is for."""

    name = text("Name", 100, "To tell your tokens apart. For example, what uses it and where.")
    scopes = scope_boxes()
    days = RadioField("Expires", [InputRequired("Choose when it expires.")], coerce=int)
    networks = long_text(
        "Only from these networks",
        "One per line, for example 192.0.2.0/24. Leave empty to allow any network.",
        most=1000,
        required=False,
    )

    def offer(self, role: Role | None) -> None:
        """Only the scopes that this role has a use for, and no longer life than the settings allow."""
        most = resources().settings.token_lifetime_days
        self.offered = {scope for scope in Scope if role in POLICY[PURPOSE[scope]].roles}
        self.scopes.choices = labelled(scope for scope in Scope if scope in self.offered)
        self.days.description = "A short lifetime limits the damage if a token leaks."
        at, lengths = resources().clock(), sorted({*(days for days in PRESETS if days < most), most})
        self.days.choices = [
            SelectChoice(days, f"after {days} days, on {dates.day(at + timedelta(days=days))}") for days in lengths
        ]
        if self.days.data is None and not self.is_submitted():
            self.days.data = min(LIFETIME_DAYS, most)

    @property
    def chosen(self) -> set[Scope]:
        return {Scope(scope) for scope in self.scopes.data or ()}

    @property
    def lifetime(self) -> timedelta:
        return timedelta(days=self.days.data or 0)

    @property
    def allowed_from(self) -> list[str]:
        return (self.networks.data or "").replace(",", " ").split()


class TokenForm(MadeOnce, Wishes):
    """The form that makes one, and shows it."""


@bp.get("")
@page(Permission.TOKEN_READ)
def index(caller: Caller) -> Response:
    """One's own tokens, newest first; for owners their organization's."""
    use = resources()
    with use.database.reading() as session:
        if caller.is_staff:  # the others' are on the lab's own pages
            found = tokens.own(session, caller, paging.part())
        else:
            found = tokens.visible(session, caller, paging.part())
        uses = token_uses.of(session, [token.id for token in found.items])
        makers = people.named(session, caller, {token.person_id for token in found.items})
    return render(
        "partner/tokens/index.html", tokens=found.items, uses=uses, makers=makers, now=use.clock(), args=request.args,
        next_cursor=paging.next_cursor(found),
    )  # fmt: skip


@bp.get("/new")
@page(Permission.TOKEN_CREATE)
def new(caller: Caller) -> Response:
    """The form."""
    form = TokenForm()
    form.offer(caller.role)
    form.scopes.data = [str(scope) for scope in form.offered & {Scope.STAGES_READ, Scope.DOWNLOADS_CREATE}]
    return render("partner/tokens/new.html", form=form)


@bp.post("/new")
@page(Permission.TOKEN_CREATE)
def create(caller: Caller) -> Response:
    """Make a token and show it, this once: the answer is no redirect, since nothing keeps its text."""
    caller = _sure(caller)
    form, made = TokenForm(), None
    form.offer(caller.role)
    if form.is_sent_well():
        made = form.attempt(
            caller,
            lambda: tokens.create(
                resources(), caller, form.name.data, form.chosen, form.lifetime, form.allowed_from, form.made_with.data
            ),
        )
    if made is None:
        form.renew()
        return render("partner/tokens/new.html", status(form), form=form)
    return _once(made)


@bp.get("/<public_id>")
@page(Permission.TOKEN_READ)
def show(caller: Caller, public_id: str) -> Response:
    """One token, and what can be done with it."""
    return _shown(caller, public_id, "show", form=MadeOnce())


@bp.post("/<public_id>/rotate")
@page(Permission.TOKEN_CREATE)
def rotate(caller: Caller, public_id: str) -> Response:
    """Make the token's successor and show it, this once."""
    caller = _sure(caller)
    _known(caller, public_id)
    form, made = MadeOnce(), None
    if form.is_sent_well():
        made = form.attempt(
            caller, lambda: tokens.rotate(resources(), caller, public_id, made_with=form.made_with.data)
        )
    if made is None:
        form.renew()
        return _shown(caller, public_id, "show", form=form)
    return _once(made, rotated=public_id)


@bp.get("/<public_id>/revoke")
@page(Permission.TOKEN_REVOKE)
def revoke_form(caller: Caller, public_id: str) -> Response:
    """What revoking does."""
    return _shown(caller, public_id, "revoke", form=Act())


@bp.post("/<public_id>/revoke")
@page(Permission.TOKEN_REVOKE)
def revoke(caller: Caller, public_id: str) -> Response:
    """Make a token useless."""
    token, form = _known(caller, public_id), Act()
    if not carried_out(form, caller, lambda: tokens.revoke(resources(), caller, public_id)):
        return _shown(caller, public_id, "revoke", form=form)
    return done(url_for(".index"), f"{token.name} has been revoked and no longer works.")


@bp.post("/<public_id>/take-over")
@page(Permission.TOKEN_REVOKE)
def take_over(caller: Caller, public_id: str) -> Response:
    """Let an owner act for a colleague's token, so that it outlives the colleague's account."""
    token, form = _known(caller, public_id), Act()
    if not carried_out(form, caller, lambda: tokens.take_over(resources(), caller, public_id)):
        shown = MadeOnce(formdata=None)
        shown.refused = form.refused
        return _shown(caller, public_id, "show", form=shown)
    return done(url_for(".show", public_id=public_id), f"{token.name} is now yours.")


def _known(caller: Caller, public_id: str) -> Token:
    with resources().database.reading() as session:
        return _find(session, caller, public_id)


def _find(session: Session, caller: Caller, public_id: str) -> Token:
    token = tokens.find(session, caller, public_id)
    if caller.is_staff and token.person_id != caller.person_id:
        raise NotFound(f"You have no token {public_id}.", next_step="Other people's tokens are on the lab's pages.")
    return token


def _shown(caller: Caller, public_id: str, template: str, form: Form) -> Response:
    use = resources()
    with use.database.reading() as session:
        token = _find(session, caller, public_id)
        values: dict[str, Any] = {
            "token": token,
            "last_use": token_uses.of(session, [token.id]).get(token.id),
            "maker": session.get_one(Person, token.person_id),
            "workload": session.get(WorkloadToken, token.id),
        }
    at = use.clock()
    works = token.revoked_at is None and at < token.expires_at
    return render(f"partner/tokens/{template}.html", status(form), form=form, works=works, now=at, **values)


def _once(made: NewToken, rotated: str | None = None) -> Response:
    for_hub = tokens.for_hub(made.text)
    return render("partner/tokens/made.html", 201, token=made.token, text=made.text, for_hub=for_hub, rotated=rotated)
