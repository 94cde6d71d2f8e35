"""Home: the release ladder, and what of it is open to whoever looks."""

from flask import Blueprint, Response

from server.domain.access import ladder as domain
from server.domain.callers import Caller
from server.domain.permissions import Permission
from server.domain.release.stages import StageState
from server.web.identity import resources
from server.web.portal.kit.auth import page, waiting_elsewhere
from server.web.portal.kit.rendering import render
from server.web.portal.partner import checklists, ladder

bp = Blueprint("home", __name__)


@bp.get("/")
@waiting_elsewhere
@page(Permission.STAGE_READ)
def show(caller: Caller) -> Response:
    """The ladder of every model."""
    use = resources()
    with use.database.reading() as session:
        found = domain.ladders(session, use, caller)
    at = use.clock()
    steps = [step for model in found for step in model.steps]
    released = [step for step in steps if step.stage.state in {StageState.PARTNERS, StageState.PUBLIC}]
    is_open = any(step.refused is None and step.stage.state is StageState.PARTNERS for step in released)
    return render(
        "partner/home/show.html",
        models=[(model, ladder.rungs(model, caller, at)) for model in found],
        released=len(released),
        open=sum(step.refused is None for step in released),
        to_do=[one for one in checklists.of(steps, caller) if checklists.is_begun(one) or not is_open],
        ending=[(step, ladder.address(step)) for step in steps if step.ends_soon(at)],
    )
