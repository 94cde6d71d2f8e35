"""Reading the release ladder: every stage that the caller may know of, and whether it is open to them."""

from datetime import datetime
from typing import Any

from apiflask import APIBlueprint
from flask import Response
from sqlalchemy.orm import Session

from server.domain.access import rule
from server.domain.callers import Caller
from server.domain.permissions import Permission
from server.domain.release.stages import StageState
from server.storage.database import AnyRow
from server.web.api.answers import Answer, Listing, ListQuery, answer, listing, moment
from server.web.errors import as_problem
from server.web.identity import allow, resources

bp = APIBlueprint("stages", __name__, url_prefix="/api/v1", tag="stages")


class RefusalAnswer(Answer):
    code: str
    title: str
    detail: str
    next_step: str


class StageAnswer(Answer):
    """For an announced stage that is still planned, everything except name, state and plan is null."""

    name: str
    model: str
    stage: str
    state: str
    plan: str | None
    ordinal: int | None
    parameters: int | None
    state_since: str | None
    held: bool | None
    tier: str | None
    agreement: str | None
    may_download: bool
    refusal: RefusalAnswer | None


class Stages(Listing):
    items: list[StageAnswer]


@bp.get("/stages")
@allow(Permission.STAGE_READ)
@bp.input(ListQuery, location="query", arg_name="query")
@bp.output(Stages)
def index(caller: Caller, query: ListQuery) -> Response:
    """Every stage that you can see, and whether you can download it. If not, the reason."""
    use = resources()
    at = use.clock()
    with use.database.reading() as session:
        page = rule.visible_stages(session, use, caller, query.as_slice())
        return listing(page, lambda stage: _render(session, caller, stage, at))


@bp.get("/stages/<model>/<stage>")
@allow(Permission.STAGE_READ)
@bp.output(StageAnswer)
def show(caller: Caller, model: str, stage: str) -> Response:
    """One stage, by its name or an alias."""
    use = resources()
    with use.database.reading() as session:
        found = rule.require_known(session, use, caller, f"{model}/{stage}")
        return answer(_render(session, caller, found, use.clock()))


def _render(session: Session, caller: Caller, stage: AnyRow, at: datetime) -> dict[str, Any]:
    refused = rule.refusal_for(session, resources(), caller, stage, at)
    shown = caller.is_staff or stage.state != StageState.PLANNED
    held = bool(stage.held_at or stage.model_held_at or stage.everything_held_at)
    return {
        "name": f"{stage.model}/{stage.name}",
        "model": stage.model,
        "stage": stage.name,
        "state": stage.state,
        "plan": stage.plan,
        "ordinal": stage.ordinal if shown else None,
        "parameters": stage.parameters if shown else None,
        "state_since": moment(stage.state_since) if shown else None,
        "held": held if shown else None,
        "tier": stage.tier if shown else None,
        "agreement": stage.agreement if shown else None,
        "may_download": refused is None,
        "refusal": None if refused is None else as_problem(refused),
    }
