"""Reading people."""

from typing import Any

from apiflask import APIBlueprint
from flask import Response

from server.domain.callers import Caller
from server.domain.identity import people
from server.domain.identity.people import Person
from server.domain.permissions import Permission
from server.web.api.answers import Answer, Listing, ListQuery, listing, moment
from server.web.identity import allow, resources

bp = APIBlueprint("people", __name__, url_prefix="/api/v1", tag="people")


class PersonAnswer(Answer):
    email: str
    name: str
    role: str
    organization: str
    created_at: str
    disabled_at: str | None


class People(Listing):
    items: list[PersonAnswer]


@bp.get("/people")
@allow(Permission.PERSON_READ)
@bp.input(ListQuery, location="query", arg_name="query")
@bp.output(People)
def index(caller: Caller, query: ListQuery) -> Response:
    """The people in your organization; for staff, everyone."""
    with resources().database.reading() as session:
        return listing(people.visible(session, caller, query.as_slice()), _render)


def _render(person: Person) -> dict[str, Any]:
    return {
        "email": person.email,
        "name": person.name,
        "role": person.role,
        "organization": person.organization.slug,
        "created_at": moment(person.created_at),
        "disabled_at": moment(person.disabled_at),
    }
