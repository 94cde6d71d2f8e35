"""Reading checkpoints, their files and their signed manifests; guarded like the files themselves."""

from typing import Any

from apiflask import APIBlueprint
from flask import Response

from server.domain.access import rule
from server.domain.callers import Caller
from server.domain.permissions import Permission
from server.domain.publish import checkpoints
from server.domain.publish.checkpoints import MANIFEST_TYPE, Checkpoint, FileList, ManifestForm
from server.web import renamed
from server.web.api import sha256sums
from server.web.api.answers import Answer, Listing, ListQuery, answer, listing, moment
from server.web.identity import allow, resources

bp = APIBlueprint("checkpoints", __name__, url_prefix="/api/v1/stages/<model>/<stage>/checkpoints", tag="checkpoints")
BUNDLE: dict[int | str, Any] = {
    200: {"description": "A Sigstore bundle.", "content": {MANIFEST_TYPE: {"schema": {"type": "object"}}}}
}
SUMS: dict[int | str, Any] = {
    200: {"description": "A line a file.", "content": {sha256sums.MIME_TYPE: {"schema": {"type": "string"}}}}
}


class CheckpointItem(Answer):
    id: str
    stage: str
    created_at: str
    note: str | None
    is_main: bool


class Checkpoints(Listing):
    items: list[CheckpointItem]


class FileAnswer(Answer):
    path: str
    size_bytes: int
    sha256: str


class CheckpointAnswer(Answer):
    id: str
    stage: str
    created_at: str
    note: str | None
    files: list[FileAnswer]


@bp.get("")
@allow(Permission.CHECKPOINT_READ)
@bp.input(ListQuery, location="query", arg_name="query")
@bp.output(Checkpoints)
def index(caller: Caller, model: str, stage: str, query: ListQuery) -> Response:
    """The stage's checkpoints, newest first."""
    use = resources()
    with use.database.reading() as session:
        found = rule.require_stage(session, use, caller, f"{model}/{stage}")
        name = f"{found.model}/{found.name}"
        renamed.tell(f"{model}/{stage}", name)

        def render(checkpoint: Checkpoint) -> dict[str, Any]:
            return {
                "id": checkpoint.checkpoint_id,
                "stage": name,
                "created_at": moment(checkpoint.published_at),
                "note": checkpoint.note,
                "is_main": checkpoint.id == found.main_checkpoint_id,
            }

        return listing(checkpoints.published(session, found.id, query.as_slice()), render)


@bp.get("/<checkpoint>")
@allow(Permission.CHECKPOINT_READ)
@bp.output(CheckpointAnswer)
def show(caller: Caller, model: str, stage: str, checkpoint: str) -> Response:
    """One checkpoint by its ID, or `main` for the newest, with the size and SHA-256 of each file."""
    use = resources()
    with use.database.reading() as session:
        name, listed = rule.require_reading(session, use, caller, f"{model}/{stage}", checkpoint)
    renamed.tell(f"{model}/{stage}", name)
    return answer(_render(name, listed))


@bp.get("/<checkpoint>/manifest")
@allow(Permission.CHECKPOINT_READ)
@bp.doc(responses=BUNDLE)
def manifest(caller: Caller, model: str, stage: str, checkpoint: str) -> Response:
    """The signed manifest: an OpenSSF Model Signing bundle. Its SHA-256 starts with the checkpoint ID."""
    return _manifest(caller, f"{model}/{stage}", checkpoint, ManifestForm.FILES)


@bp.get("/<checkpoint>/manifest/chunks")
@allow(Permission.CHECKPOINT_READ)
@bp.doc(responses=BUNDLE)
def manifest_chunks(caller: Caller, model: str, stage: str, checkpoint: str) -> Response:
    """The manifest in the library's shards form at 64 MiB, to verify ranges as they arrive."""
    return _manifest(caller, f"{model}/{stage}", checkpoint, ManifestForm.CHUNKS)


@bp.get("/<checkpoint>/SHA256SUMS")
@allow(Permission.CHECKPOINT_READ)
@bp.doc(responses=SUMS)
def sums(caller: Caller, model: str, stage: str, checkpoint: str) -> Response:
    """The SHA-256 of each file, as `sha256sum --check` reads it."""
    use = resources()
    with use.database.reading() as session:
        name, listed = rule.require_reading(session, use, caller, f"{model}/{stage}", checkpoint)
    renamed.tell(f"{model}/{stage}", name)
    return Response(sha256sums.render(listed.files.values()), mimetype=sha256sums.MIME_TYPE)


def _manifest(caller: Caller, stage: str, checkpoint: str, form: ManifestForm) -> Response:
    use = resources()
    with use.database.reading() as session:
        name, listed = rule.require_reading(session, use, caller, stage, checkpoint)
        renamed.tell(stage, name)
        return Response(checkpoints.manifest(session, listed.checkpoint_pk, form), mimetype=MANIFEST_TYPE)


def _render(name: str, listed: FileList) -> dict[str, Any]:
    return {
        "id": listed.checkpoint_id,
        "stage": name,
        "created_at": moment(listed.created_at),
        "note": listed.note,
        "files": [
            {"path": file.path, "size_bytes": file.size_bytes, "sha256": file.sha256} for file in listed.files.values()
        ],
    }
