"""Repositories: a stage under its name in lower case, and its checkpoints as tags."""

from flask import Blueprint, Response, request
from sqlalchemy.orm import Session

from server.domain.access import rule
from server.domain.access.facts import StageFacts
from server.domain.callers import Caller
from server.domain.permissions import Permission
from server.domain.publish import checkpoints
from server.domain.publish.checkpoints import MAIN
from server.domain.release import stages
from server.web import renamed
from server.web.identity import allow, resources
from server.web.oci import answers

bp = Blueprint("oci_repositories", __name__, url_prefix="/v2/<model>/<stage>")
TAGS_AT_MOST = 1000


def require(session: Session, caller: Caller, model: str, stage: str) -> StageFacts:
    """The stage, if the caller may see its files. The protocol's names have no capitals. Raises a Refused."""
    asked = stages.spelled(session, f"{model}/{stage}")
    found = rule.require_stage(session, resources(), caller, asked)
    renamed.tell(asked, found.full_name)
    return found


@bp.get("/tags/list")
@allow(Permission.CHECKPOINT_READ)
def tags(caller: Caller, model: str, stage: str) -> Response:
    """`main` and the ID of each checkpoint, in the order of their letters; `n` and `last` ask for a part."""
    with resources().database.reading() as session:
        found = require(session, caller, model, stage)
        ids = sorted(listed for _, listed in checkpoints.names(session, found.id))
    every = [*ids, MAIN] if ids else []
    last, asked = request.args.get("last", ""), request.args.get("n", "")
    count = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 5 else TAGS_AT_MOST
    following = [tag for tag in every if tag > last]
    shown = following[: min(count, TAGS_AT_MOST)]
    response = answers.json_of({"name": f"{model}/{stage}", "tags": shown})
    if shown and len(following) > len(shown):
        response.headers["Link"] = f'</v2/{model}/{stage}/tags/list?n={len(shown)}&last={shown[-1]}>; rel="next"'
    return response


@bp.get("/referrers/<digest>")
@allow(Permission.CHECKPOINT_READ)
def referrers(caller: Caller, model: str, stage: str, digest: str) -> Response:  # noqa: ARG001  # of any
    """What refers to an artifact: nothing does."""
    with resources().database.reading() as session:
        require(session, caller, model, stage)
    index = "application/vnd.oci.image.index.v1+json"
    return answers.json_of({"schemaVersion": 2, "mediaType": index, "manifests": []}, index)
