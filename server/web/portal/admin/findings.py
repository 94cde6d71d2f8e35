"""The findings desk: what waits for triage, every finding, and one with what can be done about it."""

from typing import Any

from flask import Blueprint, Response, url_for
from sqlalchemy.orm import Session
from wtforms import SelectField, SelectMultipleField
from wtforms.validators import ValidationError
from wtforms.widgets import CheckboxInput, ListWidget

from server.domain.access import finding_releases, ladder
from server.domain.audit import log_entries
from server.domain.callers import Caller
from server.domain.entry_kinds import KINDS, EntryKind
from server.domain.operation import queue
from server.domain.permissions import Permission
from server.domain.release import decisions, finding_attachments, finding_triage, findings
from server.domain.release.findings import (
    TEXT_CHARACTERS_AT_MOST,
    TRANSITIONS,
    Finding,
    FindingFilter,
    FindingKind,
    FindingState,
    Severity,
)
from server.web.identity import resources
from server.web.portal.admin.lab import lab_page
from server.web.portal.kit import attaching, paging
from server.web.portal.kit.filters import of_address
from server.web.portal.kit.forms import Form, carried_out, long_text, status
from server.web.portal.kit.markdown import as_html
from server.web.portal.kit.rendering import done, render

bp = Blueprint("admin_findings", __name__, url_prefix="/admin/findings")
ONE = "/<int:finding_id>"
VERBS = {  # of the buttons that move a finding on
    FindingState.CONFIRMED: "Confirm",
    FindingState.NOT_REPRODUCED: "Not reproduced",
    FindingState.CONSIDERED: "Considered",
    FindingState.CLOSED: "Close",
}


def _words(kinds: Any) -> dict[str, str]:
    return {str(one): str(one).replace("_", " ") for one in kinds}


class Filters(Form):
    """What narrows the list."""

    state = SelectField("State", choices={"": "Any", **_words(FindingState)})
    severity = SelectField("Severity", choices={"": "Any", **_words(reversed(Severity))})
    kind = SelectField("Kind", choices={"": "Any", **_words(FindingKind)})
    stage = SelectField("Stage")


class Triage(Form):
    """How bad it is, what is said to its reporter, and what it becomes: one button each."""

    severity = SelectField(
        "Severity", choices=_words(Severity), description="As the lab sees it. Its reporter gets an email."
    )
    answer = long_text(
        "Answer", "Emailed to its reporter. Markdown works.", most=TEXT_CHARACTERS_AT_MOST, required=False, rows=5
    )
    act = SelectField("State", choices=_words(FindingState))  # which button was pressed

    def offer(self, finding: Finding) -> None:
        """As it is, and what can follow."""
        self.severity.data = finding.severity
        self.act.data = finding.state


class Answering(Form):
    """A word to its reporter, whatever the state."""

    words = long_text("Answer", "Emailed to its reporter. Markdown works.", most=TEXT_CHARACTERS_AT_MOST, rows=5)


class Release(Form):
    """To whom."""

    to = SelectMultipleField(
        "Organizations",
        description="They may download this stage and do not have the finding yet.",
        widget=ListWidget(prefix_label=False),
        option_widget=CheckboxInput(),
    )

    def validate_to(self, field: Any) -> None:
        if not field.data:
            raise ValidationError("Choose at least one organization.")


@bp.get("")
@lab_page(Permission.FINDING_READ)
def index(caller: Caller) -> Response:
    """What waits, the most severe first; and every finding, newest first."""
    use = resources()
    with use.database.reading() as session:
        numbers = _stages(session, caller)
        form: Filters = of_address(Filters)
        form.stage.choices = {"": "Any", **{name: name for name in numbers}}
        for field in (form.state, form.severity, form.kind, form.stage):
            field.data = field.data or ""
        well = form.validate()
        page_of = findings.visible(session, caller, paging.part(), _wanted(form, numbers)) if well else None
        return render(
            "admin/findings/index.html", 200 if well else 422, form=form, page_of=page_of,
            waiting=queue.findings_waiting(session, caller),
        )  # fmt: skip


@bp.get(ONE)
@lab_page(Permission.FINDING_READ)
def show(caller: Caller, finding_id: int) -> Response:
    """One finding, and what can be done about it."""
    return _shown(caller, finding_id, None)


@bp.post(f"{ONE}/triage")
@lab_page(Permission.FINDING_TRIAGE, fresh=True)
def triage(caller: Caller, finding_id: int) -> Response:
    """Move it on; its reporter gets an email."""
    form = Triage()
    if not carried_out(
        form, caller,
        lambda: finding_triage.triage(
            resources(), caller, finding_id, FindingState(form.act.data), Severity(form.severity.data),
            form.answer.data or None,
        ),
    ):  # fmt: skip
        return _shown(caller, finding_id, form)
    words = finding_triage.WORDS[FindingState(form.act.data)]
    return done(
        url_for(".show", finding_id=finding_id), f"Finding {finding_id} is {words}. Its reporter gets an email."
    )


@bp.post(f"{ONE}/answer")
@lab_page(Permission.FINDING_TRIAGE, fresh=True)
def answer(caller: Caller, finding_id: int) -> Response:
    """Answer it, or answer it again."""
    form = Answering()
    if not carried_out(form, caller, lambda: finding_triage.answer(resources(), caller, finding_id, form.words.data)):
        return _shown(caller, finding_id, form)
    return done(url_for(".show", finding_id=finding_id), "Answer sent. Its reporter gets an email.")


@bp.post(f"{ONE}/release")
@lab_page(Permission.FINDING_TRIAGE, fresh=True)
def release(caller: Caller, finding_id: int) -> Response:
    """Let other partners read it."""
    use, form = resources(), Release()
    with use.database.reading() as session:
        found = findings.get(session, caller, finding_id)
        form.to.choices = _candidates(session, found)
    if not carried_out(form, caller, lambda: finding_releases.release(use, caller, finding_id, form.to.data or ())):
        return _shown(caller, finding_id, form)
    return done(
        url_for(".show", finding_id=finding_id), f"Finding {finding_id} was released. Their owners get an email."
    )


def _shown(caller: Caller, finding_id: int, sent: Form | None) -> Response:
    """The page; with the form that was sent and refused, if there is one."""
    use = resources()
    at = use.clock()
    with use.database.reading() as session:
        found = findings.get(session, caller, finding_id)
        triage_form = sent if isinstance(sent, Triage) else Triage(formdata=None)
        if not isinstance(sent, Triage):
            triage_form.offer(found)
        release_form = sent if isinstance(sent, Release) else Release(formdata=None)
        release_form.to.choices = _candidates(session, found)
        return attaching.render(
            "admin/findings/show.html", caller, found, 200 if sent is None else status(sent), sent=sent,
            text=as_html(found.text), attached=finding_attachments.attached(session, finding_id),
            answer=None if found.answer is None else as_html(found.answer),
            triage=triage_form, answering=sent if isinstance(sent, Answering) else Answering(formdata=None),
            release=release_form, forbidden=finding_releases.forbidden(found, at), is_embargoed=found.is_embargoed(at),
            verbs={state: VERBS[state] for state in VERBS if state in TRANSITIONS[FindingState(found.state)]},
            readers=finding_releases.released_to(session, caller, found),
            considered_in=decisions.considering(session, caller, finding_id),
            history=log_entries.about(session, caller, _KINDS, str(finding_id)),
        )  # fmt: skip


_KINDS = tuple(kind for kind in EntryKind if KINDS[kind].subject == "finding")


def _candidates(session: Session, finding: Finding) -> list[tuple[str, str]]:
    return [(one.slug, one.name) for one in finding_releases.candidates(session, finding, resources().clock())]


def _stages(session: Session, caller: Caller) -> dict[str, int]:
    """Every stage's number, by its name."""
    found = ladder.ladders(session, resources(), caller)
    return {step.full_name: step.stage.id for model in found for step in model.steps}


def _wanted(form: Filters, numbers: dict[str, int]) -> FindingFilter:
    return FindingFilter(
        stage_id=numbers[form.stage.data] if form.stage.data else None,
        kind=FindingKind(form.kind.data) if form.kind.data else None,
        severity=Severity(form.severity.data) if form.severity.data else None,
        state=FindingState(form.state.data) if form.state.data else None,
    )
