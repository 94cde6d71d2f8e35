"""Findings: reporting what one found on a stage, and what has become of it."""

from typing import Any

from flask import Blueprint, Response, request, url_for
from sqlalchemy.orm import Session
from wtforms import BooleanField, DateField, SelectField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than its stubs
from wtforms.validators import InputRequired, Optional, ValidationError

from server.domain.access import finding_reports
from server.domain.access.finding_reports import Report
from server.domain.callers import Caller
from server.domain.permissions import Permission
from server.domain.release import finding_attachments, findings
from server.domain.release.findings import TEXT_CHARACTERS_AT_MOST, TITLE_CHARACTERS_AT_MOST, FindingKind, Severity
from server.web.identity import resources
from server.web.portal.kit import attaching, paging
from server.web.portal.kit.auth import page
from server.web.portal.kit.forms import Form, long_text, status, text
from server.web.portal.kit.markdown import as_html
from server.web.portal.kit.rendering import done, render, told
from server.web.portal.partner.partners import partner_page

bp = Blueprint("finding_pages", __name__, url_prefix="/findings")
KINDS = {
    FindingKind.MISUSE: "Misuse: someone could do harm with it, or does",
    FindingKind.CAPABILITY: "Capability: it can do something that was not known",
    FindingKind.BIAS: "Bias: it treats people or topics unfairly",
    FindingKind.DETECTION: "Detection: how its output can be told from people’s",
    FindingKind.SAFETY: "Safety: it does harm though nobody wants it to",
    FindingKind.SECURITY: "Security: something is wrong with the files",
    FindingKind.OTHER: "Something else",
    FindingKind.NOTHING_FOUND: "Nothing found, and what we did",
}
SEVERITIES = {
    Severity.NONE: "None: good to know",
    Severity.LOW: "Low",
    Severity.MEDIUM: "Medium",
    Severity.HIGH: "High: should change how the stage is released",
    Severity.CRITICAL: "Critical: nothing of this model should be released before it is settled",
}


class FindingForm(Form):
    """What was found, how bad it is, and who may be told when."""

    stage = SelectField("Stage", [InputRequired("Choose a stage.")])
    checkpoint = text("Checkpoint", 40, "The ID of the files that you studied, or main for the newest.", required=False)
    kind = SelectField("Kind", [InputRequired("Choose a kind.")])
    severity = SelectField("Severity", [InputRequired("Choose a severity.")])
    title = text("Title", TITLE_CHARACTERS_AT_MOST, "One line that says what you found.")
    text = long_text(
        "What you found",
        "How you found it, how often, with which settings, and what would be needed to see it again. Markdown works.",
        most=TEXT_CHARACTERS_AT_MOST,
        rows=14,
    )
    embargo_until = DateField(
        "Embargo until",
        [Optional()],
        description="Before this day, only your organization and the lab can read it. Leave it empty for none.",
    )
    may_publish = BooleanField(
        "The lab may show it to other partners", description="After the embargo, and only to those it chooses."
    )
    may_name = BooleanField("The lab may then say that it is ours", description="Otherwise nobody learns whose it is.")

    def offer(self, session: Session, caller: Caller, named: str | None) -> None:
        """The stages that one can report on. named: one that the address or the form names besides."""
        found = {f"{one.model}/{one.name}": None for one in finding_reports.reportable(session, resources(), caller)}
        self.stage.choices = _chosen({name: name for name in [*found, *([named] if named else [])]})
        self.kind.choices, self.severity.choices = _chosen(KINDS), _chosen(SEVERITIES)

    def validate_severity(self, field: Any) -> None:
        if self.kind.data == FindingKind.NOTHING_FOUND and field.data not in {Severity.NONE, None, ""}:
            raise ValidationError("If nothing was found, the severity is none.")

    def report(self) -> Report:
        return Report(
            self.stage.data, FindingKind(self.kind.data), Severity(self.severity.data), self.title.data, self.text.data,
            checkpoint=self.checkpoint.data or None, embargo_until=self.embargo_until.data,
            may_publish=self.may_publish.data, may_name=self.may_name.data,
        )  # fmt: skip


@bp.get("")
@partner_page(Permission.FINDING_READ)
def index(caller: Caller) -> Response:
    """What one's organization reported, and what was released to it, newest first."""
    with resources().database.reading() as session:
        found = findings.visible(session, caller, paging.part())
        return render("partner/findings/index.html", page_of=found)


@bp.get("/new")
@page(Permission.FINDING_CREATE)
def new(caller: Caller) -> Response:
    """The form; with the stage whose page led here."""
    form = FindingForm(formdata=None)
    with resources().database.reading() as session:
        form.offer(session, caller, None)
    wanted = request.args.get("stage")
    if wanted in dict(_pairs(form.stage.choices)):
        form.stage.data = wanted
    return _new(caller, form)


@bp.post("/new")
@page(Permission.FINDING_CREATE)
def create(caller: Caller) -> Response:
    """Report it. The page's script is told where the finding is: it has files to attach first."""
    use, form, made = resources(), FindingForm(), None
    with use.database.reading() as session:
        form.offer(session, caller, form.stage.data if caller.is_staff else None)
    if form.is_sent_well():
        made = form.attempt(caller, lambda: finding_reports.report(use, caller, form.report()))
    if made is None:
        return _new(caller, form)
    address = url_for("admin_findings.show" if caller.is_staff else ".show", finding_id=made.id)
    answer = done(address, "Finding reported. We will email you when the lab has looked at it.")
    if request.accept_mimetypes.best != "application/json":
        return answer
    attach = url_for("finding_attachment_pages.begin", finding_id=made.id)
    return told({"finding": made.id, "address": address, "attach": attach}, 201)


@bp.get("/<int:finding_id>")
@partner_page(Permission.FINDING_READ)
def show(caller: Caller, finding_id: int) -> Response:
    """One finding, and what the lab says to it."""
    use = resources()
    with use.database.reading() as session:
        found = findings.get(session, caller, finding_id)
        return attaching.render(
            "partner/findings/show.html", caller, found, is_own=findings.is_own(caller, found),
            whose=findings.whose(caller, found), is_embargoed=found.is_embargoed(use.clock()),
            text=as_html(found.text), attached=finding_attachments.attached(session, finding_id),
            answer=None if found.answer is None else as_html(found.answer),
        )  # fmt: skip


def _new(caller: Caller, form: FindingForm) -> Response:
    return attaching.render("partner/findings/new.html", caller, None, status(form), form=form)


def _chosen(words: dict[Any, str]) -> list[SelectChoice]:
    return [SelectChoice("", "Choose…"), *(SelectChoice(str(value), label) for value, label in words.items())]


def _pairs(choices: Any) -> list[tuple[str, str]]:
    return [(choice.value, choice.label) for choice in choices if choice.value]
