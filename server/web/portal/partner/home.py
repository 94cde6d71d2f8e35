"""Home: the release ladder, and what of it is open to whoever looks."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from flask import Blueprint, Response, url_for

from server.domain.access import ladder as domain
from server.domain.access.ladder import Step
from server.domain.access.reminders import days_left
from server.domain.callers import Caller
from server.domain.mail.ending_notices import in_days
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
        ending=_ending([step for step in steps if step.ends_soon(at)], at),
        sign_again=sorted({step.sign_again for step in steps if step.sign_again}, key=lambda one: one.until),
    )


@dataclass(frozen=True, slots=True)
class Ending:
    """Access that ends soon: to which stages, when, and what to do, or what was done."""

    stages: list[tuple[str, str]]
    ends_at: datetime
    days: str
    renew: str | None
    asked: str | None


def _ending(steps: Iterable[Step], at: datetime) -> list[Ending]:
    """One for each clearance, with the stages that it opens."""
    found: dict[int | None, Ending] = {}
    for step in steps:
        if step.ends_at is None:
            continue
        asked = step.renewal_id and url_for("request_pages.show", request_id=step.renewal_id)
        renew = None if asked else url_for("renewal_pages.form", clearance_id=step.clearance_id)
        days = in_days(days_left(step.ends_at, at))
        ending = found.setdefault(step.clearance_id, Ending([], step.ends_at, days, renew, asked or None))
        ending.stages.append((step.full_name, ladder.address(step)))
    return list(found.values())
