"""Reading organizations."""

from typing import Any

from apiflask import APIBlueprint
from flask import Response

from server.domain.callers import Caller
from server.domain.identity import organizations
from server.domain.identity.organizations import Organization
from server.domain.permissions import Permission
from server.web.api.answers import Answer, Listing, ListQuery, listing, moment
from server.web.identity import allow, resources

bp = APIBlueprint("organizations", __name__, url_prefix="/api/v1", tag="organizations")


class OrganizationAnswer(Answer):
    id: str
    name: str
    is_lab: bool
    created_at: str
    suspended_at: str | None


class Organizations(Listing):
    items: list[OrganizationAnswer]


@bp.get("/organizations")
@allow(Permission.ORGANIZATION_READ)
@bp.input(ListQuery, location="query", arg_name="query")
@bp.output(Organizations)
def index(caller: Caller, query: ListQuery) -> Response:
    """Your organization; for staff, all organizations."""
    with resources().database.reading() as session:
        return listing(organizations.visible(session, caller, query.as_slice()), _render)


def _render(organization: Organization) -> dict[str, Any]:
    return {
        "id": organization.slug,
        "name": organization.name,
        "is_lab": organization.is_lab,
        "created_at": moment(organization.created_at),
        "suspended_at": moment(organization.suspended_at),
    }
