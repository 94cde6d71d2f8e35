"""The ladder in words: each stage's state, why it is not open, and the one next step as text and address."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import url_for

from server.dates import day, last_day
from server.domain.access.ladder import Ladder, NextStep, Step
from server.domain.access.reminders import days_left
from server.domain.callers import Caller
from server.domain.errors import (
    AgreementOutdated,
    AgreementUnsigned,
    ClearanceExpired,
    NotCleared,
    NotFound,
    StageHeld,
    StageWithdrawn,
)
from server.domain.mail.ending_notices import in_days
from server.domain.permissions import Permission
from server.domain.release.stages import StageState
from server.web.portal.kit.rendering import number
from server.web.portal.partner.checklists import request_href


@dataclass(frozen=True, slots=True)
class Next:
    """The one next step: as a button where it has an address, else as words."""

    text: str
    href: str | None = None


def address(step: Step) -> str:
    return url_for("stage_pages.show", model=step.stage.model, stage=step.stage.name)


def _files(step: Step) -> str:
    """Where a stage's files are: of the newest checkpoint; of a stage that has none, its own page."""
    if step.stage.main_checkpoint_id is None:
        return address(step)
    return url_for("stage_pages.checkpoint", model=step.stage.model, stage=step.stage.name, checkpoint="main")


def rungs(ladder: Ladder, caller: Caller, at: datetime) -> list[dict[str, Any]]:
    """What `macros/ladder.html` draws."""
    after = [*ladder.steps[1:], None]
    return [
        _rung(step, caller, at) | {"between": between(following)}
        for step, following in zip(ladder.steps, after, strict=True)
    ]


def reason(step: Step, caller: Caller) -> str | None:
    """Why the stage is not open to the caller; None where it is."""
    stage = step.stage
    match step.refused:
        case None:
            return None
        case NotFound():
            return "Not released yet."
        case StageHeld():
            return "On hold: nobody can download it for now."
        case StageWithdrawn():
            return "Permanently withdrawn: nobody can download it."
        case NotCleared() | ClearanceExpired() | AgreementUnsigned() | AgreementOutdated() if caller.is_staff:
            return None  # partners are cleared and sign; the lab looks after it
        case NotCleared() | ClearanceExpired() if step.next_step is NextStep.AWAIT_DECISION:
            if step.request_id is None:
                return "One admin of the lab has approved your access. A second one must approve it."
            return "You requested access, and the lab has not decided yet."
        case NotCleared():
            return f"Your organization is not cleared for it: tier {stage.tier} is required."
        case ClearanceExpired():
            return "Your organization's access has ended."
        case AgreementUnsigned() | AgreementOutdated() if step.next_step is NextStep.AWAIT_COUNTERSIGNATURE:
            return f"You signed {stage.agreement} v{step.version}. It is in force once the lab has countersigned."
        case AgreementOutdated():
            return f"The {stage.agreement} agreement that you signed has been replaced by version {step.version}."
        case AgreementUnsigned():
            return f"Your organization has not signed the {stage.agreement} agreement."
    return step.refused.detail


def next_of(step: Step, caller: Caller) -> Next | None:
    """What to do now; None where nothing is to be done, or nothing can be."""
    stage = step.stage
    if step.refused is None:
        words = "View files" if caller.is_staff else "Download"
        return Next(words, _files(step)) if caller.may(Permission.DOWNLOAD_CREATE) else None
    sign = None if stage.agreement is None else url_for("agreement_pages.show", name=stage.agreement)
    request = request_href(step)
    asked = None if step.request_id is None else url_for("request_pages.show", request_id=step.request_id)
    return {
        NextStep.REQUEST: Next("Request access", request),
        NextStep.REQUEST_AGAIN: Next("Request access again", request),
        NextStep.AWAIT_DECISION: Next("See the request", asked or url_for("request_pages.index")),
        NextStep.SIGN: Next(f"Sign {stage.agreement}", sign),
        NextStep.SIGN_AGAIN: Next(f"Sign v{step.version}", sign),
        NextStep.ASK_OWNER: Next("Ask an owner of your organization to sign it.", url_for("people_pages.index")),
        NextStep.AWAIT_COUNTERSIGNATURE: Next("There is nothing for you to do until then."),
        None: None,
    }[step.next_step]


def since(step: Step) -> str | None:
    """Since when it is what it is; of what is only planned nothing is said."""
    at = step.stage.state_since
    return None if at is None or step.stage.state is StageState.PLANNED else f"Since {day(at)}"


def parameters(step: Step) -> str | None:
    count = step.stage.parameters
    if count is None:
        return None
    return f"{number(count)} parameters" if count < 1_000_000 else f"{number(round(count / 1e6))} million parameters"


def ends_soon(step: Step, at: datetime) -> str | None:
    if step.ends_at is None or not step.ends_soon(at):
        return None
    return f"Your access ends {in_days(days_left(step.ends_at, at))}: the last day is {last_day(step.ends_at)}."


def between(following: Step | None) -> str | None:
    """What stands before the stage after: of a planned one, that it is not decided."""
    planned = following is not None and following.stage.state is StageState.PLANNED
    return "not decided yet" if planned else None


def _rung(step: Step, caller: Caller, at: datetime) -> dict[str, Any]:
    following = next_of(step, caller)
    return {
        "name": step.stage.name,
        "href": address(step),
        "parameters": parameters(step),
        "state": str(step.stage.state),
        "held": step.stage.held,
        "since": since(step),
        "plan": step.stage.plan.in_words(step.stage.state, at),
        "open": step.refused is None,
        "is_mine": not caller.is_staff,
        "reason": reason(step, caller),
        "next_text": following and following.text,
        "next_href": following and following.href,
        "ends_soon": ends_soon(step, at),
    }
