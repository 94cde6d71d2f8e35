"""Repositories: a stage as a model of the Hugging Face client, and the list of those that one may know of."""

from typing import Any

from flask import Blueprint, Response, request

from server.domain.access import ladder
from server.domain.access.facts import StageFacts
from server.domain.access.ladder import ShownStage
from server.domain.callers import Caller
from server.domain.permissions import Permission
from server.domain.publish.checkpoints import MAIN, FileList
from server.domain.release.stages import StageState
from server.web.hub import entries, pages, revisions
from server.web.identity import allow, resources

bp = Blueprint("hub_repositories", __name__, url_prefix="/api/models")


@bp.get("")
@allow(Permission.STAGE_READ)
def index(caller: Caller) -> Response:
    """Every stage with partners or public that the caller may know of, whether or not it is open to them."""
    author, words = request.args.get("author"), [word.lower() for word in request.args.getlist("search")]
    use = resources()
    with use.database.reading() as session:
        found = [step.stage for model in ladder.ladders(session, use, caller) for step in model.steps]
    return pages.answer(
        [
            _outline(stage)
            for stage in found
            if stage.state != StageState.PLANNED and author in {None, stage.model}
            if all(word in stage.full_name.lower() for word in words)
        ]
    )


@bp.get("/<model>/<stage>")
@bp.get("/<model>/<stage>/revision/<path:revision>", endpoint="at_revision")
@allow(Permission.CHECKPOINT_READ)
def show(caller: Caller, model: str, stage: str, revision: str = MAIN) -> Response:
    """A checkpoint with the list of its files, whole: an older client downloads exactly these."""
    with resources().database.reading() as session:
        sight, listed = revisions.require(session, caller, f"{model}/{stage}", revision)
    return pages.answer(_outline(sight.stage) | _content(listed, with_hashes=pages.flag("blobs")))


@bp.get("/<model>/<stage>/auth-check")
@allow(Permission.CHECKPOINT_READ)
def auth_check(caller: Caller, model: str, stage: str) -> Response:
    """Whether the stage is open to the caller: nothing, or the refusal."""
    with resources().database.reading() as session:
        revisions.require_repository(session, caller, f"{model}/{stage}")
    return Response(mimetype="application/json")


def _outline(stage: StageFacts | ShownStage) -> dict[str, Any]:
    outline: dict[str, Any] = {
        "id": stage.full_name,
        "modelId": stage.full_name,
        "author": stage.model,
        "gated": False if stage.state == StageState.PUBLIC else "manual",
        "private": False,
        "disabled": False,
        "tags": [],
    }
    return outline if stage.state_since is None else outline | {"createdAt": revisions.moment(stage.state_since)}


def _content(listed: FileList, *, with_hashes: bool) -> dict[str, Any]:
    files = listed.files.values()
    return {
        "sha": listed.checkpoint_id,
        "lastModified": revisions.moment(listed.created_at),
        "library_name": "transformers",
        "usedStorage": sum(file.size_bytes for file in files),
        "siblings": [entries.sibling(file) if with_hashes else {"rfilename": file.path} for file in files],
    }
