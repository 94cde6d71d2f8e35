"""Reading clearances."""

from datetime import datetime
from typing import Annotated, Any

from apiflask import APIBlueprint
from flask import Response
from pydantic import Field

from server.domain.access import clearances
from server.domain.access.clearances import Clearance
from server.domain.callers import Caller
from server.domain.permissions import Permission
from server.web.api.answers import Answer, Listing, ListQuery, listing, moment
from server.web.identity import allow, resources

bp = APIBlueprint("clearances", __name__, url_prefix="/api/v1", tag="clearances")


class ClearanceAnswer(Answer):
    id: int
    organization: str
    model: str
    tier: str
    state: str
    purpose: str
    report_to_renew: Annotated[
        bool, Field(description="Whether renewing takes a report, or “nothing found”, since it was granted.")
    ]
    starts_at: str
    expires_at: str
    proposed_at: str
    approved_at: str | None
    revoked_at: str | None


class Clearances(Listing):
    items: list[ClearanceAnswer]


@bp.get("/clearances")
@allow(Permission.CLEARANCE_READ)
@bp.input(ListQuery, location="query", arg_name="query")
@bp.output(Clearances)
def index(caller: Caller, query: ListQuery) -> Response:
    """Your organization's clearances, newest first; for staff, all clearances."""
    use = resources()
    at = use.clock()
    with use.database.reading() as session:
        return listing(
            clearances.visible(session, caller, query.as_slice()), lambda clearance: render_clearance(clearance, at)
        )


def render_clearance(clearance: Clearance, at: datetime) -> dict[str, Any]:
    return {
        "id": clearance.id,
        "organization": clearance.organization.slug,
        "model": clearance.model.name,
        "tier": clearance.tier.name,
        "state": clearance.state_at(at),
        "purpose": clearance.purpose,
        "report_to_renew": clearance.tier.report_to_renew,
        "starts_at": moment(clearance.starts_at),
        "expires_at": moment(clearance.expires_at),
        "proposed_at": moment(clearance.proposed_at),
        "approved_at": moment(clearance.approved_at),
        "revoked_at": moment(clearance.revoked_at),
    }
