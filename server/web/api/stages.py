"""Reading the release ladder: every stage that the caller may know of, and whether it is open to them."""

from datetime import datetime
from typing import Annotated, Any

from apiflask import APIBlueprint
from flask import Response
from pydantic import Field

from server.domain.access import ladder
from server.domain.access.checklists import Progress, Task, Whose
from server.domain.access.ladder import Step
from server.domain.callers import Caller
from server.domain.permissions import Permission
from server.domain.release.plans import Plan
from server.web import renamed
from server.web.api.answers import Answer, Listing, ListQuery, answer, listing, moment
from server.web.errors import as_problem
from server.web.identity import allow, resources

bp = APIBlueprint("stages", __name__, url_prefix="/api/v1", tag="stages")


class RefusalAnswer(Answer):
    code: str
    title: str
    detail: str
    next_step: str


class TaskAnswer(Answer):
    """One task before a stage opens. `since`: when it was done, or since when it can be done."""

    task: Task
    by: Whose
    progress: Progress
    since: str | None


class PlanAnswer(Answer):
    """When its next step is planned: months, both null while that is undecided; and what else the public is told."""

    first: Annotated[str | None, Field(alias="from", description="The first month, for example 2026-11.")]
    until: Annotated[str | None, Field(description="The last month, for example 2027-01.")]
    note: str | None


class StageAnswer(Answer):
    """For an announced stage that is still planned, everything except name, state, plan and planned is null."""

    name: str
    model: str
    stage: str
    state: str
    plan: Annotated[str | None, Field(description="The planned window and the public note, in words.")]
    planned: PlanAnswer | None
    ordinal: int | None
    parameters: int | None
    state_since: str | None
    held: bool | None
    tier: str | None
    agreement: str | None
    may_download: bool
    refusal: RefusalAnswer | None
    tasks: Annotated[
        list[TaskAnswer], Field(description="What has to be done until you can download it; empty if nothing can be.")
    ]


class Stages(Listing):
    items: list[StageAnswer]


@bp.get("/stages")
@allow(Permission.STAGE_READ)
@bp.input(ListQuery, location="query", arg_name="query")
@bp.output(Stages)
def index(caller: Caller, query: ListQuery) -> Response:
    """Every stage that you can see, and whether you can download it. If not, the reason."""
    use = resources()
    with use.database.reading() as session:
        at = use.clock()
        return listing(ladder.listed(session, use, caller, query.as_slice()), lambda step: _render(step, at))


@bp.get("/stages/<model>/<stage>")
@allow(Permission.STAGE_READ)
@bp.output(StageAnswer)
def show(caller: Caller, model: str, stage: str) -> Response:
    """One stage, by its name or an alias; then a `Warning` header tells its name."""
    use = resources()
    with use.database.reading() as session:
        step = ladder.step(session, use, caller, f"{model}/{stage}")
    renamed.tell(f"{model}/{stage}", step.full_name)
    return answer(_render(step, use.clock()))


def planned(plan: Plan) -> dict[str, str | None] | None:
    """A plan as every answer tells it; None where there is none."""
    if plan.is_empty:
        return None
    first, until = (None, None) if plan.window is None else (plan.window.first, plan.window.last)
    return {"from": first, "until": until, "note": plan.note}


def _render(step: Step, at: datetime) -> dict[str, Any]:
    stage = step.stage
    return {
        "name": stage.full_name,
        "model": stage.model,
        "stage": stage.name,
        "state": stage.state,
        "plan": stage.plan.in_words(stage.state, at),
        "planned": planned(stage.plan),
        "ordinal": stage.ordinal,
        "parameters": stage.parameters,
        "state_since": moment(stage.state_since),
        "held": stage.held,
        "tier": stage.tier,
        "agreement": stage.agreement,
        "may_download": step.refused is None,
        "refusal": None if step.refused is None else as_problem(step.refused),
        "tasks": [
            {"task": item.task, "by": item.whose, "progress": item.progress, "since": moment(item.since)}
            for item in step.checklist
        ],
    }
