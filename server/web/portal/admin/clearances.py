"""Clearances: the list, one with its two steps, and proposing, approving, extending, revoking."""

from contextlib import suppress
from datetime import date as Day
from typing import Any

from flask import Blueprint, Response, request, url_for
from wtforms import BooleanField, HiddenField, SelectField
from wtforms.validators import AnyOf, Optional, ValidationError

from server.domain.access import access_requests, clearance_rehearsals, clearances
from server.domain.access.clearance_rehearsals import Rehearsal
from server.domain.access.clearances import STATES
from server.domain.audit.filters import LookUp
from server.domain.callers import Caller
from server.domain.downloads import live_urls
from server.domain.identity import organizations
from server.domain.permissions import Permission
from server.domain.release import stages, tiers
from server.web.identity import resources
from server.web.portal.admin.dossier import dossier_of
from server.web.portal.admin.lab import found, lab_page
from server.web.portal.kit import paging
from server.web.portal.kit.filters import of_address
from server.web.portal.kit.forms import Act, Form, date, end_of, long_text, status, text
from server.web.portal.kit.rendering import done, render

bp = Blueprint("admin_clearances", __name__, url_prefix="/admin/clearances")
ONE = "/<int:clearance_id>"


class Filters(Form):
    """What narrows the list."""

    state = SelectField("State", choices={"": "Any", **{state: state for state in STATES}})
    organization = text("Organization", 200, required=False, render_kw={"placeholder": "ID or name"})
    model = SelectField("Model")
    sort = SelectField("Order", choices={"": "Newest first", "last_day": "By last day"})


class Proposal(Form):
    """What a clearance says."""

    organization = text(
        "Organization", 64, "The organization's ID, for example aurora-institute.", render_kw={"list": "organizations"}
    )
    model = SelectField("Model")
    tier = SelectField("Tier", description="Gives access to stages at this tier and below.")
    last_day = date("Last day", "Access ends at the end of this day (UTC).")
    purpose = long_text(
        "Purpose",
        "What the organization needs access for. It is recorded in the log, and the organization can read it.",
    )
    act = HiddenField(validators=[Optional(), AnyOf(["rehearse", "propose"], "Use one of the buttons.")])


class Extension(Form):
    """Until when instead."""

    last_day = date("New last day", "Later than the current one. Access ends at the end of this day (UTC).")


class Revocation(Form):
    """Asks why, and for the name of what is about to lose its access."""

    because = long_text("Reason", "It is emailed to the organization, and recorded in the log.")
    with_others = BooleanField("End the other clearances as well")
    confirmation = text("Type the organization’s ID to confirm", 64)

    def __init__(self, wanted: str) -> None:
        super().__init__()
        self.wanted = wanted

    def validate_confirmation(self, field: Any) -> None:
        if field.data != self.wanted:
            raise ValidationError(f"This does not match {self.wanted}.")


@bp.get("")
@lab_page(Permission.CLEARANCE_READ)
def index(caller: Caller) -> Response:
    """Every clearance, newest first or by its last day."""
    use = resources()
    at = use.clock()
    with use.database.reading() as session:
        form: Filters = of_address(Filters)
        models = {model.name: model for model in stages.all_models(session, caller)}
        form.model.choices = {"": "Any", **{name: name for name in models}}
        form.state.data, form.model.data, form.sort.data = (
            form.state.data or "", form.model.data or "", form.sort.data or "",
        )  # fmt: skip
        named: list[organizations.Organization] = []
        well = form.validate()
        if well and form.organization.data:
            look_up = LookUp(session, use, caller)
            well = found(
                form.organization,
                lambda: named.append(
                    organizations.find(session, caller, look_up.value("organization", form.organization.data) or "")
                ),
            )
        shown = None
        if well:
            wanted = clearances.ClearanceFilter(
                state=form.state.data or None,
                organization_id=named[0].id if named else None,
                model_id=models[form.model.data].id if form.model.data else None,
            )
            by_last_day = form.sort.data == "last_day"
            shown = clearances.listed(session, caller, wanted, paging.part(), at, by_last_day=by_last_day)
        return render("admin/clearances/index.html", 200 if well else 422, form=form, page_of=shown, now=at)


@bp.get("/propose")
@lab_page(Permission.CLEARANCE_PROPOSE)
def propose_form(caller: Caller) -> Response:
    """The form; filled in as far as the page that led here knows."""
    form = Proposal()
    form.organization.data = request.args.get("organization", "")[:64]
    form.model.data, form.tier.data = request.args.get("model"), request.args.get("tier")
    with suppress(ValueError):
        form.last_day.data = Day.fromisoformat(request.args.get("last_day", ""))
    return _proposal(caller, form)


@bp.post("/propose")
@lab_page(Permission.CLEARANCE_PROPOSE, fresh=True)
def propose(caller: Caller) -> Response:
    """Propose; in force at once where the tier does not take two people."""
    use = resources()
    form = Proposal()
    with use.database.reading() as session:
        _offer(form, session, caller)
        well = form.is_sent_well()
        well = well and found(form.organization, lambda: organizations.find(session, caller, form.organization.data))
    if not well:
        return _proposal(caller, form)
    if form.act.data == "rehearse":
        return _proposal(caller, form, form.attempt(caller, lambda: _rehearsed(caller, form)))
    made = form.attempt(
        caller,
        lambda: clearances.propose(
            use, caller, form.organization.data, form.model.data, form.tier.data,
            expires_at=end_of(form.last_day.data), purpose=form.purpose.data,
        ),
    )  # fmt: skip
    if made is None:
        return _proposal(caller, form)
    return done(_address(made.id), _proposed(made))


@bp.get(ONE)
@lab_page(Permission.CLEARANCE_READ)
def show(caller: Caller, clearance_id: int) -> Response:
    """One clearance, with all that is needed to decide it."""
    return _shown(caller, clearance_id, Act())


@bp.post(f"{ONE}/approve")
@lab_page(Permission.CLEARANCE_APPROVE, fresh=True)
def approve(caller: Caller, clearance_id: int) -> Response:
    """The second step; never by whoever did the first."""
    form = Act()
    use = resources()
    if not form.is_sent_well():
        return _shown(caller, clearance_id, form)
    approved = form.attempt(caller, lambda: clearances.approve(use, caller, clearance_id))
    if approved is None:
        return _shown(caller, clearance_id, form)
    return done(_address(clearance_id), f"Clearance {clearance_id} is {approved.state_at(use.clock())}.")


@bp.get(f"{ONE}/extend")
@lab_page(Permission.CLEARANCE_PROPOSE)
def extend_form(caller: Caller, clearance_id: int) -> Response:
    """What extending means, and until when."""
    return _act(caller, clearance_id, Extension(), "extend")


@bp.post(f"{ONE}/extend")
@lab_page(Permission.CLEARANCE_PROPOSE, fresh=True)
def extend(caller: Caller, clearance_id: int) -> Response:
    """Propose the same with a later end."""
    form = Extension()
    if not form.is_sent_well():
        return _act(caller, clearance_id, form, "extend")
    expires_at = end_of(form.last_day.data)
    made = form.attempt(caller, lambda: clearances.extend(resources(), caller, clearance_id, expires_at))
    if made is None:
        return _act(caller, clearance_id, form, "extend")
    return done(_address(made.id), _proposed(made))


@bp.get(f"{ONE}/revoke")
@lab_page(Permission.CLEARANCE_REVOKE)
def revoke_form(caller: Caller, clearance_id: int) -> Response:
    """What revoking does at once, and what it does not."""
    return _act(caller, clearance_id, Revocation(""), "revoke")


@bp.post(f"{ONE}/revoke")
@lab_page(Permission.CLEARANCE_REVOKE, fresh=True)
def revoke(caller: Caller, clearance_id: int) -> Response:
    """End it at once."""
    use = resources()
    with use.database.reading() as session:
        wanted = clearances.get(session, caller, clearance_id).organization.slug
    form = Revocation(wanted)
    left = None
    if form.is_sent_well():
        reason, both = form.because.data, form.with_others.data
        left = form.attempt(caller, lambda: clearances.revoke(use, caller, clearance_id, reason, with_others=both))
    if left is None:
        return _act(caller, clearance_id, form, "revoke")
    then = f"Access continues under {clearances.in_words(left)}." if left else "No more downloads are issued under it."
    return done(_address(clearance_id), f"Clearance {clearance_id} has been revoked. {then}")


def _shown(caller: Caller, clearance_id: int, form: Form) -> Response:
    use = resources()
    at = use.clock()
    with use.database.reading() as session:
        clearance = clearances.get(session, caller, clearance_id)
        return render(
            "admin/clearances/show.html", status(form), form=form, clearance=clearance,
            asked=access_requests.of_clearance(session, caller, clearance.id),
            state=clearance.state_at(at), now=at, file=dossier_of(session, caller, clearance.organization, at),
            opens=stages.opened_by(session, clearance.model, clearance.tier),
            live=live_urls.under_clearance(session, caller, clearance.id, clearance.organization_id, at),
            takes_two=tiers.needs_second_person(session, clearance.tier, use.settings.second_person_tier),
            others=clearances.alongside(session, clearance, at),
        )  # fmt: skip


def _act(caller: Caller, clearance_id: int, form: Form, name: str) -> Response:
    use = resources()
    at = use.clock()
    with use.database.reading() as session:
        clearance = clearances.get(session, caller, clearance_id)
        return render(
            f"admin/clearances/{name}.html", status(form), form=form, clearance=clearance,
            state=clearance.state_at(at),
            live=live_urls.under_clearance(session, caller, clearance.id, clearance.organization_id, at),
            takes_two=tiers.needs_second_person(session, clearance.tier, use.settings.second_person_tier),
            others=clearances.alongside(session, clearance, at),
        )  # fmt: skip


def _rehearsed(caller: Caller, form: Proposal) -> Rehearsal:
    use = resources()
    with use.database.reading() as session:
        return clearance_rehearsals.rehearse(
            session, use, caller, form.organization.data, form.model.data, form.tier.data,
            expires_at=end_of(form.last_day.data),
        )  # fmt: skip


def _proposal(caller: Caller, form: Proposal, rehearsal: Rehearsal | None = None) -> Response:
    use = resources()
    with use.database.reading() as session:
        _offer(form, session, caller)
        return render(
            "admin/clearances/propose.html", status(form), form=form,
            two_from=use.settings.second_person_tier, known=organizations.partners(session, caller, 200),
            rehearsal=rehearsal,
        )  # fmt: skip


def _offer(form: Proposal, session: Any, caller: Caller) -> None:
    form.model.choices = {model.name: f"{model.name}: {model.title}" for model in stages.all_models(session, caller)}
    form.tier.choices = {tier.name: tier.name for tier in tiers.ranked(session)}


def _proposed(made: clearances.Clearance) -> str:
    if made.approved_at is not None:
        return f"Clearance {made.id} is in force: its tier needs only one admin."
    return f"Clearance {made.id} is proposed. Another admin must approve it."


def _address(clearance_id: int) -> str:
    return url_for("admin_clearances.show", clearance_id=clearance_id)
