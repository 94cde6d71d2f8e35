"""Reporting findings, and following them."""

from datetime import date
from typing import Annotated, Any

from apiflask import APIBlueprint
from flask import Response
from pydantic import BeforeValidator, Field
from sqlalchemy.orm import Session

from server.domain.access import finding_reports
from server.domain.access.finding_reports import Report
from server.domain.callers import Caller
from server.domain.errors import InvalidRequest
from server.domain.permissions import Permission
from server.domain.release import finding_attachments, findings
from server.domain.release.attachment_contents import NAME, SIZE_BYTES_AT_MOST, TYPES
from server.domain.release.finding_attachments import FindingAttachment
from server.domain.release.findings import (
    TEXT_CHARACTERS_AT_MOST,
    TITLE_CHARACTERS_AT_MOST,
    Finding,
    FindingKind,
    FindingState,
    Severity,
)
from server.text import lines, printable
from server.web.api.answers import Answer, Body, Listing, ListQuery, answer, listing, moment
from server.web.identity import allow, resources

bp = APIBlueprint("findings", __name__, url_prefix="/api/v1/findings", tag="findings")
_LAX = Field(strict=False)  # JSON has no enumerations: their values are strings


def _whole(value: object) -> object:
    """In JSON, 8.0 is the integer 8."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class FindingReport(Body):
    """What you found. An unprintable character is kept as U+FFFD."""

    stage: Annotated[str, Field(max_length=200, description="`model/stage`, like `gpt-2/774M`.")]
    checkpoint: Annotated[str | None, Field(max_length=40, description="A checkpoint ID, or `main`.")] = None
    kind: Annotated[FindingKind, _LAX]
    severity: Annotated[Severity, _LAX, Field(description="`none` if the kind is `nothing_found`.")]
    title: Annotated[str, Field(max_length=TITLE_CHARACTERS_AT_MOST, pattern=r"[!-~]")]
    text: Annotated[str, Field(max_length=TEXT_CHARACTERS_AT_MOST, pattern=r"[!-~]", description="Markdown.")]
    embargo_until: Annotated[
        str | None,
        Field(
            pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
            json_schema_extra={"format": "date"},
            description="The first day (UTC) on which others may be told: after today, within a year.",
        ),
    ] = None
    may_publish: Annotated[bool, Field(description="Whether the lab may release it to other partners.")] = False
    may_name: Annotated[bool, Field(description="Whether the lab may then say who reported it.")] = False


class FindingItem(Answer):
    """Without its text. Of a finding that was released to you, `reported_by` and the lab's answer are null."""

    id: int
    state: FindingState
    stage: str
    checkpoint: str | None
    kind: FindingKind
    severity: Severity
    title: str
    embargo_until: str | None
    may_publish: bool
    may_name: bool
    organization: Annotated[str | None, Field(description="Null if its reporter is not to be named.")]
    reported_by: str | None
    reported_at: str
    triaged_at: str | None
    answered_at: str | None


class AttachmentAnswer(Answer):
    id: int
    name: str
    size_bytes: int
    sha256: str


class FindingAnswer(FindingItem):
    """A finding with its text."""

    text: str
    answer: str | None
    attachments: list[AttachmentAnswer]


class NewAttachment(Body):
    """A file that is to be attached."""

    name: Annotated[str, Field(pattern=rf"^{NAME.pattern}$", description=f"Ends in {TYPES}.")]
    size_bytes: Annotated[int, Field(ge=1, le=SIZE_BYTES_AT_MOST), BeforeValidator(_whole)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class SlotAnswer(AttachmentAnswer):
    """Where to PUT the file, once, with exactly these headers. Then complete the attachment."""

    url: str
    headers: dict[str, str]
    expires_at: str


class SavingAnswer(Answer):
    url: Annotated[str, Field(description="Saves the file. It is never shown in a browser.")]
    expires_at: str


class Findings(Listing):
    items: list[FindingItem]


@bp.post("")
@allow(Permission.FINDING_CREATE)
@bp.input(FindingReport, arg_name="given")
@bp.output(FindingAnswer, status_code=201)
def create(caller: Caller, given: FindingReport) -> Response:
    """Report a finding on a stage that you have, or had, access to. The same report within a minute returns 409."""
    text = "\n".join(map(_kept, lines(given.text).split("\n")))
    told = Report(
        given.stage, given.kind, given.severity, _kept(given.title), text,
        checkpoint=given.checkpoint, embargo_until=_day(given.embargo_until), may_publish=given.may_publish,
        may_name=given.may_name,
    )  # fmt: skip
    made = finding_reports.report(resources(), caller, told)
    with resources().database.reading() as session:
        return answer(_render(session, findings.get(session, caller, made.id), caller), 201)


@bp.get("")
@allow(Permission.FINDING_READ)
@bp.input(ListQuery, location="query", arg_name="query")
@bp.output(Findings)
def index(caller: Caller, query: ListQuery) -> Response:
    """Your organization's findings and those released to it, newest first; for staff, all findings.

    The token has the scope `findings:read` or `findings:create`.
    """
    with resources().database.reading() as session:
        found = findings.visible(session, caller, query.as_slice())
        return listing(found, lambda finding: _render_item(finding, caller))


@bp.get("/<int:finding_id>")
@allow(Permission.FINDING_READ)
@bp.output(FindingAnswer)
def show(caller: Caller, finding_id: int) -> Response:
    """One finding.

    The token has the scope `findings:read` or `findings:create`.
    """
    with resources().database.reading() as session:
        return answer(_render(session, findings.get(session, caller, finding_id), caller))


@bp.post("/<int:finding_id>/attachments")
@allow(Permission.FINDING_CREATE)
@bp.input(NewAttachment, arg_name="file")
@bp.output(SlotAnswer, status_code=201)
def attach(caller: Caller, finding_id: int, file: NewAttachment) -> Response:
    """Announce a file for a finding of your organization: at most five, of at most 50 MB each."""
    made = finding_attachments.begin(resources(), caller, finding_id, file.name, file.size_bytes, file.sha256)
    more = {"url": made.url, "headers": made.headers, "expires_at": moment(made.expires_at)}
    return answer(_render_attachment(made.attachment) | more, 201)


@bp.post("/<int:finding_id>/attachments/<int:attachment_id>/complete")
@allow(Permission.FINDING_CREATE)
@bp.output(AttachmentAnswer)
def complete(caller: Caller, finding_id: int, attachment_id: int) -> Response:
    """Have the file that was put there checked: then it is attached. What is not as announced is deleted."""
    return answer(_render_attachment(finding_attachments.complete(resources(), caller, finding_id, attachment_id)))


@bp.post("/<int:finding_id>/attachments/<int:attachment_id>/url")
@allow(Permission.FINDING_READ)
@bp.output(SavingAnswer, status_code=201)
def save(caller: Caller, finding_id: int, attachment_id: int) -> Response:
    """Issue a URL that saves an attachment. This is logged."""
    url, expires_at = finding_attachments.open_url(resources(), caller, finding_id, attachment_id)
    return answer({"url": url, "expires_at": moment(expires_at)}, 201)


def _kept(line: str) -> str:
    return "\t".join(map(printable, line.split("\t")))


def _day(text: str | None) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        raise InvalidRequest("`embargo_until`: there is no such day.") from None


def _render(session: Session, finding: Finding, caller: Caller) -> dict[str, Any]:
    words = finding.answer if findings.is_own(caller, finding) else None
    attached = [_render_attachment(one) for one in finding_attachments.attached(session, finding.id)]
    return _render_item(finding, caller) | {"text": finding.text, "answer": words, "attachments": attached}


def _render_attachment(one: FindingAttachment) -> dict[str, Any]:
    return {"id": one.id, "name": one.name, "size_bytes": one.size_bytes, "sha256": one.sha256}


def _render_item(finding: Finding, caller: Caller) -> dict[str, Any]:
    is_own, organization = findings.is_own(caller, finding), findings.whose(caller, finding)
    return {
        "id": finding.id,
        "state": finding.state,
        "stage": finding.stage.full_name,
        "checkpoint": finding.checkpoint_id,
        "kind": finding.kind,
        "severity": finding.severity,
        "title": finding.title,
        "embargo_until": None if finding.embargo_until is None else str(finding.embargo_until),
        "may_publish": finding.may_publish,
        "may_name": finding.may_name,
        "organization": None if organization is None else organization.slug,
        "reported_by": finding.reporter.email if is_own else None,
        "reported_at": moment(finding.reported_at),
        "triaged_at": moment(finding.triaged_at),
        "answered_at": moment(finding.answered_at if is_own else None),
    }
