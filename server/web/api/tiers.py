"""Reading tiers."""

from typing import Any

from apiflask import APIBlueprint
from flask import Response

from server.domain.callers import Caller
from server.domain.permissions import Permission
from server.domain.release import tiers
from server.domain.release.tiers import Tier
from server.web.api.answers import Answer, Listing, ListQuery, listing
from server.web.identity import allow, resources

bp = APIBlueprint("tiers", __name__, url_prefix="/api/v1", tag="tiers")


class TierAnswer(Answer):
    name: str
    rank: int


class Tiers(Listing):
    items: list[TierAnswer]


@bp.get("/tiers")
@allow(Permission.TIER_READ)
@bp.input(ListQuery, location="query", arg_name="query")
@bp.output(Tiers)
def index(caller: Caller, query: ListQuery) -> Response:  # noqa: ARG001  # the same for everyone who may see them
    """The named ranks of access. A higher rank includes everything that a lower one gives access to."""
    with resources().database.reading() as session:
        return listing(tiers.all_of_them(session, query.as_slice()), _render)


def _render(tier: Tier) -> dict[str, Any]:
    return {"name": tier.name, "rank": tier.rank}
