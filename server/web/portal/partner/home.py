"""Home: the release ladder, and what of it is open to whoever looks."""

from collections.abc import Iterable

from flask import Blueprint, Response

from server.domain.access import ladder as domain
from server.domain.access.ladder import Step
from server.domain.callers import Caller
from server.domain.permissions import Permission
from server.domain.release.stages import StageState
from server.web.identity import resources
from server.web.portal.kit.auth import page
from server.web.portal.kit.rendering import render
from server.web.portal.partner import ladder
from server.web.portal.partner.ladder import Next

bp = Blueprint("home", __name__)


@bp.get("/")
@page(Permission.STAGE_READ)
def show(caller: Caller) -> Response:
    """The ladder of every model."""
    use = resources()
    with use.database.reading() as session:
        found = domain.ladders(session, use, caller)
    at = use.clock()
    steps = [step for model in found for step in model.steps]
    released = [step for step in steps if step.stage.state in {StageState.PARTNERS, StageState.PUBLIC}]
    return render(
        "partner/home/show.html",
        models=[(model, ladder.rungs(model, caller, at)) for model in found],
        released=len(released),
        open=sum(step.refused is None for step in released),
        to_do=_to_do(caller, steps),
        ending=[(step, ladder.address(step)) for step in steps if step.ends_soon(at)],
    )


def _to_do(caller: Caller, steps: Iterable[Step]) -> list[tuple[Next, list[Step]]]:
    """What waits for the caller, each with the stages that it would open: signing once may open several."""
    waiting: dict[Next, list[Step]] = {}
    for step in steps:
        following = ladder.next_of(step, caller)
        if following is not None and following.to_do is not None:
            waiting.setdefault(following, []).append(step)
    return list(waiting.items())
