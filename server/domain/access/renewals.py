"""Renewals: the same access for as long again, asked for in one step by whoever has it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from server import dates
from server.domain.access import access_requests, clearances, reminders, renewal_reports
from server.domain.access.access_requests import IS_OPEN, LONGEST, AccessRequest
from server.domain.access.clearances import Clearance
from server.domain.callers import Caller
from server.domain.errors import NotPossible
from server.domain.permissions import Permission
from server.domain.release.findings import Finding
from server.domain.resources import Resources


@dataclass(frozen=True, slots=True)
class Renewal:
    """What one button would ask for.

    asked: what the organization has asked for already and the lab not decided. reports: what it reported on the model
    since the clearance was granted. lacks: the report that the tier takes.
    """

    clearance: Clearance
    until: datetime
    asked: AccessRequest | None
    reports: Sequence[Finding]
    refused: NotPossible | None
    lacks: NotPossible | None


def of(session: Session, caller: Caller, clearance_id: int, at: datetime) -> Renewal:
    """What renewing a clearance of one's own organization means now. Raises NotFound."""
    caller.require(Permission.ACCESS_REQUEST_CREATE)
    clearance = clearances.get(session, caller, clearance_id)
    mine = AccessRequest.organization_id == clearance.organization_id
    asked = session.scalar(select(AccessRequest).where(mine, AccessRequest.model_id == clearance.model_id, IS_OPEN))
    owner, model = clearance.organization_id, clearance.model_id
    reports = renewal_reports.since(session, owner, model, clearance.granted_at)
    lacks = renewal_reports.refusal(session, owner, model, clearance.tier)
    return Renewal(clearance, until(clearance, at), asked, reports, _refusal(clearance, at), lacks)


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
        if refused := _refusal(clearance, at):
            raise refused
        return access_requests.create_in(
            session, use, caller, home, clearance.model, clearance.tier, purpose=clearance.purpose,
            wanted_until=until(clearance, at), at=at, renews=clearance.id,
        )  # fmt: skip


def _refusal(clearance: Clearance, at: datetime) -> NotPossible | None:
    """Only what was in force is renewed; what the lab took back is asked for anew."""
    state = clearance.state_at(at)
    if clearance.approved_at is None or state not in {"active", "expired"}:
        return NotPossible(
            f"Clearance {clearance.id} is {state}, so it cannot be renewed.", next_step="Request access instead."
        )
    return None
