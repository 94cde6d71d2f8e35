"""The public release ladder: what is planned, released and decided, for programs."""

from typing import Annotated, Any

from apiflask import APIBlueprint
from flask import Response, request
from pydantic import Field

from server.domain.access import releases
from server.domain.access.releases import Family, Release
from server.domain.callers import Caller
from server.domain.permissions import Permission
from server.web.api.answers import Answer, answer, moment
from server.web.api.stages import PlanAnswer, planned
from server.web.identity import allow, resources
from server.web.portal.kit import shared_answers

bp = APIBlueprint("releases", __name__, url_prefix="/api/v1/releases", tag="releases")


class FindingCounts(Answer):
    considered: Annotated[int, Field(description="Findings that decisions on this stage rested on.")]
    open_critical: Annotated[int, Field(description="Findings on this stage that forbid a further release.")]


class DecisionAnswer(Answer):
    """A move that was decided by two people and carried out."""

    id: int
    before: Annotated[str, Field(alias="from")]
    to: str
    decided_at: str
    public_reason: str


class ReleaseAnswer(Answer):
    name: str
    state: str
    since: str
    planned: PlanAnswer | None
    held: bool
    parameters: int | None
    partners: Annotated[int, Field(description="How many organizations are cleared for it, while it is released.")]
    findings: FindingCounts
    decisions: list[DecisionAnswer]


class LiftAnswer(Answer):
    """A hold that two people lifted."""

    id: int
    on: Annotated[str, Field(description="The stage's name, or the model's.")]
    decided_at: str
    public_reason: str


class FamilyAnswer(Answer):
    name: str
    title: str
    stages: list[ReleaseAnswer]
    lifts: list[LiftAnswer]


class Releases(Answer):
    """Of planned stages, those that are announced."""

    models: list[FamilyAnswer]


@bp.get("")
@allow(Permission.STAGE_READ)
@bp.output(Releases)
def index(caller: Caller) -> Response:
    """Every model's ladder, and what was decided and why. Without a token, unless the lab has closed it."""
    use = resources()
    shared_answers.count_stranger(caller)
    releases.require_open(use, caller)
    with use.database.reading() as session:
        found = releases.read(session, use.clock())
    return shared_answers.kept(answer({"models": [_family(family) for family in found]}), request)


def _family(family: Family) -> dict[str, Any]:
    return {
        "name": family.name,
        "title": family.title,
        "stages": [_release(stage) for stage in family.stages],
        "lifts": [
            {
                "id": one.id,
                "on": one.name,
                "decided_at": moment(one.decided_at),
                "public_reason": one.public_reason,
            }
            for one in family.lifts
        ],
    }


def _release(stage: Release) -> dict[str, Any]:
    return {
        "name": stage.name,
        "state": stage.state,
        "since": moment(stage.since),
        "planned": planned(stage.plan),
        "held": stage.held_since is not None,
        "parameters": stage.parameters,
        "partners": stage.partners,
        "findings": {"considered": stage.considered, "open_critical": stage.open_critical},
        "decisions": [
            {
                "id": one.id,
                "from": one.before,
                "to": one.to,
                "decided_at": moment(one.decided_at),
                "public_reason": one.public_reason,
            }
            for one in stage.decisions
        ],
    }
