"""Uploads: a checkpoint sent to the store in parts, by URLs that the server signs, and published from there."""

from typing import Annotated, Any

from apiflask import APIBlueprint
from flask import Response
from pydantic import BeforeValidator, Field

from server.domain.callers import Caller
from server.domain.permissions import Permission
from server.domain.publish import upload_parts, uploads
from server.domain.publish.source_files import MAX_FILE_BYTES, MAX_FILES, MAX_PATH_CHARACTERS
from server.domain.publish.upload_parts import Wanted
from server.domain.publish.uploads import NewFile, Upload, UploadState
from server.storage.object_parts import PARTS_AT_MOST, part_size_bytes
from server.web.api.answers import Answer, Body, answer, moment
from server.web.identity import allow, resources

bp = APIBlueprint("uploads", __name__, url_prefix="/api/v1/uploads", tag="uploads")
_SHA256 = r"^[0-9a-f]{64}$"


def _whole(value: object) -> object:
    """In JSON, 8.0 is the integer 8."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Path = Annotated[str, Field(min_length=1, max_length=MAX_PATH_CHARACTERS, examples=["model.safetensors"])]


class AnnouncedFile(Body):
    path: Path
    size_bytes: Annotated[int, Field(ge=1, le=MAX_FILE_BYTES, examples=[548105171]), BeforeValidator(_whole)]
    sha256: Annotated[str, Field(pattern=_SHA256, description="Of the whole file.", examples=["0" * 64])]


class NewUpload(Body):
    """The files of a checkpoint. No file is sent here."""

    stage: Annotated[str, Field(max_length=200, description="`model/stage`.", examples=["gpt-2/1558M"])]
    note: Annotated[str | None, Field(max_length=2000, description="What is new in it.")] = None
    files: Annotated[list[AnnouncedFile], Field(min_length=1, max_length=MAX_FILES, fail_fast=True)]


class WantedPart(Body):
    path: Path
    number: Annotated[int, Field(ge=1, le=PARTS_AT_MOST, description="From 1."), BeforeValidator(_whole)]
    sha256: Annotated[str, Field(pattern=_SHA256, description="Of this part alone.", examples=["0" * 64])]


class WantedParts(Body):
    """The parts to send next."""

    parts: Annotated[list[WantedPart], Field(min_length=1, max_length=upload_parts.AT_MOST, fail_fast=True)]


class Refusal(Answer):
    code: str
    detail: str


class UploadAnswer(Answer):
    """An upload of yours, and what became of it."""

    id: int
    stage: str
    state: UploadState
    begun_at: str
    size_bytes: Annotated[int, Field(description="Of its files, while it is open or being checked.")]
    checked_bytes: Annotated[int, Field(description="How much has been read back and stored.")]
    checkpoint: Annotated[str | None, Field(description="Its ID, once it is published or proposed.")]
    proposal: Annotated[int | None, Field(description="The proposal that another person must approve.")]
    refusal: Annotated[Refusal | None, Field(description="Why it was not published. An open one can be completed.")]
    next_step: Annotated[str | None, Field(description="What to do now, and who.")]


class UploadFileAnswer(Answer):
    path: str
    size_bytes: int
    sha256: str
    part_bytes: Annotated[int, Field(description="The size of each part but the last.")]


class BegunUpload(UploadAnswer):
    warnings: Annotated[list[str], Field(description="What to know before anything is sent.")]
    files: list[UploadFileAnswer]


class PartSlot(Answer):
    path: str
    number: int
    url: Annotated[str | None, Field(description="Null: this part has arrived.")]
    headers: Annotated[dict[str, str], Field(description="PUT the part with exactly these headers.")]


class PartSlots(Answer):
    expires_at: Annotated[str, Field(description="When the URLs expire. Start each PUT before this time.")]
    lifetime_seconds: Annotated[int, Field(description="The same as a duration, if your clock differs.")]
    parts: list[PartSlot]


@bp.post("")
@allow(Permission.CHECKPOINT_PUBLISH)
@bp.input(NewUpload, arg_name="new")
@bp.output(BegunUpload, status_code=201)
def begin(caller: Caller, new: NewUpload) -> Response:
    """Begin an upload to a stage, or continue yours: what was sent of files that are the same is kept."""
    files = [NewFile(file.path, file.size_bytes, file.sha256) for file in new.files]
    begun = uploads.begin(resources(), caller, new.stage, files, new.note)
    listed = [
        {"path": file.path, "size_bytes": file.size_bytes, "sha256": file.sha256,
         "part_bytes": part_size_bytes(file.size_bytes)}
        for file in begun.files
    ]  # fmt: skip
    return answer(_render(caller, begun.upload.id) | {"warnings": list(begun.warnings), "files": listed}, 201)


@bp.get("/<int:upload_id>")
@allow(Permission.CHECKPOINT_PUBLISH)
@bp.output(UploadAnswer)
def show(caller: Caller, upload_id: int) -> Response:
    """An upload of yours. A day after the last sign of life it is removed."""
    return answer(_render(caller, upload_id))


@bp.post("/<int:upload_id>/urls")
@allow(Permission.CHECKPOINT_PUBLISH)
@bp.input(WantedParts, arg_name="wanted")
@bp.output(PartSlots, status_code=201)
def urls(caller: Caller, upload_id: int, wanted: WantedParts) -> Response:
    """Sign a URL for each of these parts that has not arrived. Ask again when the URLs have expired."""
    asked = [Wanted(part.path, part.number, part.sha256) for part in wanted.parts]
    made = upload_parts.urls(resources(), caller, upload_id, asked)
    slots = [
        {"path": slot.path, "number": slot.number, "url": slot.url, "headers": dict(slot.headers)}
        for slot in made.slots
    ]  # fmt: skip
    body = {"expires_at": moment(made.expires_at), "lifetime_seconds": made.lifetime_seconds, "parts": slots}
    return answer(body, 201)


@bp.post("/<int:upload_id>/complete")
@allow(Permission.CHECKPOINT_PUBLISH)
@bp.output(UploadAnswer, status_code=202)
def complete(caller: Caller, upload_id: int) -> Response:
    """Have what arrived checked, signed and published. Look at the upload to see what becomes of it."""
    uploads.complete(resources(), caller, upload_id)
    return answer(_render(caller, upload_id), 202)


def _render(caller: Caller, upload_id: int) -> dict[str, Any]:
    with resources().database.reading() as session:
        return _fields(uploads.own(session, caller, upload_id), uploads.size_bytes(session, upload_id))


def _fields(upload: Upload, size_bytes: int) -> dict[str, Any]:
    refusal = None if upload.refusal_code is None else {"code": upload.refusal_code, "detail": upload.refusal}
    return {
        "id": upload.id, "stage": upload.stage.full_name, "state": upload.state, "begun_at": moment(upload.begun_at),
        "size_bytes": size_bytes, "checked_bytes": upload.checked_bytes, "checkpoint": upload.checkpoint_id,
        "proposal": upload.proposal, "refusal": refusal, "next_step": upload.next_step,
    }  # fmt: skip
