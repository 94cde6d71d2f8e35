"""Requests for access: one with all that is needed to decide it, and approving or declining."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from flask import Blueprint, Response, url_for
from sqlalchemy.orm import Session

from server.domain.access import access_requests, renewal_reports
from server.domain.access.clearances import Clearance
from server.domain.callers import Caller
from server.domain.delivery import usage
from server.domain.delivery.usage import Span
from server.domain.permissions import Permission
from server.domain.release import stages, tiers
from server.domain.release.findings import Finding
from server.web.identity import resources
from server.web.portal.admin.dossier import dossier_of
from server.web.portal.admin.lab import lab_page
from server.web.portal.kit import paging
from server.web.portal.kit.forms import Form, carried_out, date, end_of, last_day, long_text, status
from server.web.portal.kit.rendering import done, render

bp = Blueprint("admin_requests", __name__, url_prefix="/admin/requests")
ONE = "/<int:request_id>"


class Approval(Form):
    """Until when."""

    last_day = date(
        "Last day", "As requested. You can choose an earlier or later day. Access ends at the end of this day (UTC)."
    )


class Declining(Form):
    """Why not."""

    because = long_text("Reason", "The organization can read this. Say what would change the decision.")


@bp.get("")
@lab_page(Permission.ACCESS_REQUEST_READ)
def index(caller: Caller) -> Response:
    """Everything that was ever asked for, newest first."""
    with resources().database.reading() as session:
        return render(
            "admin/access_requests/index.html", page_of=access_requests.visible(session, caller, paging.part())
        )


@bp.get(ONE)
@lab_page(Permission.ACCESS_REQUEST_READ)
def show(caller: Caller, request_id: int) -> Response:
    """One request."""
    return _shown(caller, request_id, Approval(), Declining(formdata=None))


@bp.post(f"{ONE}/approve")
@lab_page(Permission.ACCESS_REQUEST_DECIDE, fresh=True)
def approve(caller: Caller, request_id: int) -> Response:
    """Turn it into a clearance; where the tier takes two people, another admin approves that."""
    form = Approval()
    decided = None
    if form.is_sent_well():
        expires_at = end_of(form.last_day.data)
        decided = form.attempt(
            caller, lambda: access_requests.approve(resources(), caller, request_id, expires_at=expires_at)
        )
    if decided is None or decided.clearance is None:
        return _shown(caller, request_id, form, Declining(formdata=None))
    clearance = decided.clearance
    then = "is in force" if clearance.approved_at else "is proposed and needs the approval of another admin"
    return done(
        url_for("admin_clearances.show", clearance_id=clearance.id),
        f"Request {request_id} was approved: clearance {clearance.id} {then}.",
    )


@bp.post(f"{ONE}/decline")
@lab_page(Permission.ACCESS_REQUEST_DECIDE, fresh=True)
def decline(caller: Caller, request_id: int) -> Response:
    """Say no, and why."""
    form = Declining()
    if not carried_out(
        form, caller, lambda: access_requests.decline(resources(), caller, request_id, form.because.data)
    ):
        return _shown(caller, request_id, Approval(formdata=None), form)
    return done(url_for("admin_requests.show", request_id=request_id), f"Request {request_id} has been declined.")


def _shown(caller: Caller, request_id: int, approval: Approval, declining: Declining) -> Response:
    use = resources()
    at = use.clock()
    refused = max(status(approval), status(declining))
    with use.database.reading() as session:
        wanted = access_requests.get(session, caller, request_id)
        if approval.last_day.data is None and not approval.errors:
            approval.last_day.data = last_day(wanted.wanted_until)
        return render(
            "admin/access_requests/show.html", refused, wanted=wanted, approval=approval, declining=declining, now=at,
            file=dossier_of(session, caller, wanted.organization, at),
            opens=stages.opened_by(session, wanted.model, wanted.tier),
            takes_two=tiers.needs_second_person(session, wanted.tier, use.settings.second_person_tier),
            since=_since(session, caller, wanted.renewed),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Since:
    """What an organization did with a model since it was granted what it asks to renew.

    at_least: there were more downloads than were looked at.
    """

    at: datetime
    taken: Span
    at_least: bool
    reports: Sequence[Finding]


def _since(session: Session, caller: Caller, renewed: Clearance | None) -> Since | None:
    if renewed is None:
        return None
    at = renewed.granted_at
    taken, at_least = usage.of_model_since(session, caller, renewed.organization_id, renewed.model.name, at)
    reports = renewal_reports.since(session, renewed.organization_id, renewed.model_id, at)
    return Since(at, taken, at_least, reports)
