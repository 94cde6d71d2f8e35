"""Renewals: the same access for as long again, asked for in one step by whoever has it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from server import dates
from server.domain.access import access_requests, clearances, reminders
from server.domain.access.access_requests import IS_OPEN, LONGEST, AccessRequest
from server.domain.access.clearances import Clearance
from server.domain.callers import Caller
from server.domain.errors import NotPossible
from server.domain.permissions import Permission
from server.domain.release.findings import Finding
from server.domain.resources import Resources

REPORTS_AT_MOST = 100  # that are named


@dataclass(frozen=True, slots=True)
class Renewal:
    """What one button would ask for.

    asked: what the organization has asked for already and the lab not decided. reports: what it reported on the model
    since the clearance was granted. lacks_report: the tier takes one, and there is none.
    """

    clearance: Clearance
    until: datetime
    asked: AccessRequest | None
    reports: Sequence[Finding]
    lacks_report: bool
    refused: NotPossible | None


def of(session: Session, caller: Caller, clearance_id: int, at: datetime) -> Renewal:
    """What renewing a clearance of one's own organization means now. Raises NotFound."""
    caller.require(Permission.ACCESS_REQUEST_CREATE)
    clearance = clearances.get(session, caller, clearance_id)
    mine = AccessRequest.organization_id == clearance.organization_id
    asked = session.scalar(select(AccessRequest).where(mine, AccessRequest.model_id == clearance.model_id, IS_OPEN))
    reports = reports_under(session, clearance)
    lacks_report = clearance.tier.report_to_renew and not reports
    refused = _refusal(clearance, reports, at)
    return Renewal(clearance, until(clearance, at), asked, reports, lacks_report, refused)


def reports_under(session: Session, clearance: Clearance) -> Sequence[Finding]:
    """What its organization reported on its model since it was granted, whatever became of it, oldest first.

    "Nothing found" is a report. What each is worth is for the admins to judge, who see them beside the request.
    """
    query = select(Finding).where(
        Finding.organization_id == clearance.organization_id, Finding.model_id == clearance.model_id,
        Finding.reported_at >= clearance.granted_at,
    )  # fmt: skip
    return session.scalars(query.order_by(Finding.id).limit(REPORTS_AT_MOST)).all()


def until(clearance: Clearance, at: datetime) -> datetime:
    """The end to ask for: as many days again after its last day, or after today where that is over; LONGEST at most."""
    last = reminders.last_day(clearance.expires_at)
    days = (last - clearance.starts_at.astimezone(UTC).date()).days + 1
    today = at.astimezone(UTC).date()
    farthest = (at + LONGEST).astimezone(UTC).date() - timedelta(days=1)
    return dates.end_of(min(max(last, today) + timedelta(days=days), farthest))


def ask(use: Resources, caller: Caller, clearance_id: int) -> AccessRequest:
    """Ask to renew a clearance, for the purpose that it has. Raises NotFound, NotPossible."""
    caller.require(Permission.ACCESS_REQUEST_CREATE)
    with use.database.transaction() as session:
        home = access_requests.lock_home(session, caller)
        at = use.clock()
        clearance = clearances.get(session, caller, clearance_id)
        if refused := _refusal(clearance, reports_under(session, clearance), at):
            raise refused
        return access_requests.create_in(
            session, use, caller, home, clearance.model, clearance.tier, purpose=clearance.purpose,
            wanted_until=until(clearance, at), at=at, renews=clearance.id,
        )  # fmt: skip


def _refusal(clearance: Clearance, reports: Sequence[Finding], at: datetime) -> NotPossible | None:
    """Only what was in force is renewed; what the lab took back is asked for anew."""
    state = clearance.state_at(at)
    if clearance.approved_at is None or state not in {"active", "expired"}:
        return NotPossible(
            f"Clearance {clearance.id} is {state}, so it cannot be renewed.", next_step="Request access instead."
        )
    if clearance.tier.report_to_renew and not reports:
        return NotPossible(
            f"Renewing {clearance.wanted} takes a report since {dates.day(clearance.granted_at)}, and there is none.",
            next_step="Report a finding, or that you found nothing and what you did. Then ask again.",
        )
    return None
