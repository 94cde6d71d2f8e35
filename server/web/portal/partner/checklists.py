"""Checklists in words: what is to be done until a stage opens, who does it, since when, and the button to do it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from flask import url_for

from server.domain.access.checklists import Asked, Item, Progress, Task, Whose
from server.domain.access.ladder import Step
from server.domain.callers import Caller
from server.domain.permissions import Permission, Role


@dataclass(frozen=True, slots=True)
class Line:
    """One task as a line. who: must act, or acted; since: when. href and button: where whoever looks does it."""

    text: str
    progress: Progress
    who: str
    since: datetime | None = None
    href: str | None = None
    button: str | None = None


@dataclass(frozen=True, slots=True)
class Checklist:
    """The same tasks open these stages. declined: the request that the lab said no to, by its address."""

    stages: list[Step]
    lines: list[Line]
    declined: Asked | None
    declined_href: str | None


def of(steps: Iterable[Step], caller: Caller) -> list[Checklist]:
    """One for each set of tasks that is left: doing it once may open several stages."""
    alike: dict[object, list[Step]] = {}
    for step in steps:
        if step.checklist:
            left = tuple(item for item in step.checklist if item.progress is not Progress.DONE)
            asks = left[0].task is Task.REQUEST
            alike.setdefault((left, (step.stage.model, step.stage.tier) if asks else None), []).append(step)
    return [_of(found, caller) for found in alike.values()]


def request_href(step: Step) -> str:
    """The form that asks for the stage, filled in as the request that was declined."""
    if step.declined is not None:
        return url_for("request_pages.new", earlier=step.declined.id)
    return url_for("request_pages.new", stage=step.full_name)


def is_begun(checklist: Checklist) -> bool:
    """Whether its organization has asked, or was answered."""
    return checklist.declined is not None or checklist.lines[0].progress is Progress.DONE


def _of(steps: list[Step], caller: Caller) -> Checklist:
    first = steps[0]
    lines = [_line(item, first, caller) for item in first.checklist]
    lines.append(Line("Download", Progress.LATER, ""))
    declined = next((step.declined for step in steps if step.declined), None)
    href = None if declined is None else url_for("request_pages.new", earlier=declined.id)
    return Checklist(steps, lines, declined, href)


def _line(item: Item, step: Step, caller: Caller) -> Line:
    href, button = _button(item, step, caller) if item.progress is Progress.READY else (None, None)
    text = _TEXTS[item.task].format(agreement=step.stage.agreement, version=item.number)
    return Line(text, item.progress, _WHO[item.whose], item.since, href, button)


def _button(item: Item, step: Step, caller: Caller) -> tuple[str | None, str | None]:
    if item.task is Task.REQUEST and caller.may(Permission.ACCESS_REQUEST_CREATE):
        return request_href(step), "Request access"
    if item.task is Task.SIGNATURE:
        if caller.role is Role.OWNER:
            return url_for("agreement_pages.show", name=step.stage.agreement), f"Sign v{item.number}"
        return url_for("people_pages.index"), "See who the owners are"
    return None, None


_TEXTS = {
    Task.REQUEST: "Access request",
    Task.FIRST_APPROVAL: "Approval by an admin",
    Task.SECOND_APPROVAL: "Approval by a second admin",
    Task.SIGNATURE: "Signature on {agreement} v{version}",
    Task.COUNTERSIGNATURE: "Countersignature",
}
_WHO = {Whose.ORGANIZATION: "your organization", Whose.OWNER: "an owner of your organization", Whose.LAB: "the lab"}
