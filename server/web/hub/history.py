"""The history of a stage: its one branch, and its checkpoints as commits."""

from typing import Any

from flask import Blueprint, Response, request

from server.domain.access import rule
from server.domain.callers import Caller
from server.domain.paging import Slice
from server.domain.permissions import Permission
from server.domain.publish import checkpoints
from server.domain.publish.checkpoints import MAIN, Checkpoint
from server.web.hub import pages, revisions
from server.web.identity import allow, resources

bp = Blueprint("hub_history", __name__, url_prefix="/api/models/<model>/<stage>")


@bp.get("/refs")
@allow(Permission.CHECKPOINT_READ)
def refs(caller: Caller, model: str, stage: str) -> Response:
    """The branch `main`, and no tags."""
    with resources().database.reading() as session:
        _, listed = revisions.require(session, caller, f"{model}/{stage}", MAIN)
    branch = {"name": MAIN, "ref": f"refs/heads/{MAIN}", "targetCommit": listed.checkpoint_id}
    return pages.answer({"branches": [branch], "converts": [], "tags": []})


@bp.get("/commits/<path:revision>")
@allow(Permission.CHECKPOINT_READ)
def commits(caller: Caller, model: str, stage: str, revision: str) -> Response:
    """A checkpoint and those that were published before it, newest first, in parts."""
    with resources().database.reading() as session:
        sight = revisions.require_repository(session, caller, f"{model}/{stage}")
        newest = rule.file_list(session, resources(), sight.stage, revision).checkpoint_pk
        cursor = request.args.get("cursor", "")
        after = min(int(cursor), newest + 1) if cursor.isascii() and cursor.isdigit() else newest + 1
        found = checkpoints.published(session, sight.stage.id, Slice(pages.limit(), after))
        shown = [_commit(checkpoint, model) for checkpoint in found.items]
    return pages.answer(shown, None if found.next_after is None else str(found.next_after))


def _commit(checkpoint: Checkpoint, author: str) -> dict[str, Any]:
    """Who published it is not told: partners know the lab, not its people."""
    title, _, message = (checkpoint.note or f"Checkpoint {checkpoint.checkpoint_id[:12]}").partition("\n")
    return {
        "id": checkpoint.checkpoint_id,
        "title": title,
        "message": message.strip(),
        "date": revisions.moment(checkpoint.published_at or checkpoint.started_at),
        "authors": [{"user": author}],
    }
