"""Attachments of findings: the script of a page announces a file, sends it to the store, and has it checked."""

from flask import Blueprint, Response
from wtforms import IntegerField, StringField
from wtforms.validators import InputRequired, Length, Regexp

from server.domain.callers import Caller
from server.domain.errors import Refused
from server.domain.permissions import Permission
from server.domain.release import finding_attachments, findings
from server.web.identity import resources
from server.web.portal.kit.auth import page
from server.web.portal.kit.forms import Act, Form, status
from server.web.portal.kit.rendering import go_to, told

bp = Blueprint("finding_attachment_pages", __name__, url_prefix="/findings/<int:finding_id>/attachments")


class Announced(Form):
    """What `attachments.js` is about to send."""

    name = StringField("Name", [InputRequired(), Length(max=100)])
    size_bytes = IntegerField("Size", [InputRequired()])
    sha256 = StringField("SHA-256", [InputRequired(), Regexp(r"^[0-9a-f]{64}\Z", message="64 hex digits.")])


@bp.post("")
@page(Permission.FINDING_CREATE)
def begin(caller: Caller, finding_id: int) -> Response:
    """Where the file is to be put, and with which headers."""
    with resources().database.reading() as session:
        findings.get(session, caller, finding_id)  # to others there is no such finding, whatever they send
    form = Announced()
    name, size_bytes, sha256 = form.name.data or "", form.size_bytes.data or 0, form.sha256.data or ""
    if not form.is_sent_well():
        return _refused(form)
    made = form.attempt(
        caller, lambda: finding_attachments.begin(resources(), caller, finding_id, name, size_bytes, sha256)
    )
    if made is None:
        return _refused(form)
    return told({"id": made.attachment.id, "url": made.url, "headers": made.headers}, 201)


@bp.post("/<int:attachment_id>/complete")
@page(Permission.FINDING_CREATE)
def complete(caller: Caller, finding_id: int, attachment_id: int) -> Response:
    """Have what was put there checked: then it is attached."""
    form = Act()
    if not form.is_sent_well():
        return _refused(form)
    made = form.attempt(caller, lambda: finding_attachments.complete(resources(), caller, finding_id, attachment_id))
    return _refused(form) if made is None else told({"id": made.id, "name": made.name}, 200)


@bp.post("/<int:attachment_id>")
@page(Permission.FINDING_READ)
def save(caller: Caller, finding_id: int, attachment_id: int) -> Response:
    """Send the browser on to the store, which lets it save the file; this is logged."""
    Act().require_known_fields()  # an expired one can log nothing, so it is answered as such
    url, _ = finding_attachments.open_url(resources(), caller, finding_id, attachment_id)
    return go_to(url)


def _refused(form: Form) -> Response:
    """In one sentence, for the script to show beside the file."""
    no: Refused | None = form.refused
    wrong = [f"{field.label.text}: {' '.join(field.errors)}" for field in form if field.errors]
    detail = f"{no.detail} {no.next_step}" if no else " ".join(wrong)
    contact = resources().settings.contact
    return told({"detail": detail.replace("{contact}", contact)}, status(form))
