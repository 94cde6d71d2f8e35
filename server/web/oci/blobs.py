"""Blobs: the files of a stage by SHA-256. HEAD tells the size; GET issues the file and leads to its signed URL."""

import re

from flask import Blueprint, Response
from sqlalchemy.orm import Session

from server.domain.access.facts import StageFacts
from server.domain.callers import Caller
from server.domain.downloads import issuing
from server.domain.downloads.issuing import Order
from server.domain.errors import NoSuchFile
from server.domain.permissions import Permission
from server.domain.publish import checkpoints
from server.domain.publish.checkpoints import File
from server.web.identity import allow, resources
from server.web.oci import answers, manifests, repositories
from server.web.oci.artifacts import Document

bp = Blueprint("oci_blobs", __name__)
RULE = "/v2/<model>/<stage>/blobs/<digest>"
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


@bp.route(RULE, methods=["HEAD"])  # before GET, which would answer it, too
@allow(Permission.CHECKPOINT_READ)
def look(caller: Caller, model: str, stage: str, digest: str) -> Response:
    """How large a blob is. Nothing is issued, and no URL exists."""
    with resources().database.reading() as session:
        found = _find(session, repositories.require(session, caller, model, stage), digest)
    if isinstance(found, Document):
        return answers.document(found)
    response = Response(mimetype="application/octet-stream")
    response.content_length = found[1].size_bytes
    response.headers["Accept-Ranges"] = "bytes"
    response.headers["Docker-Content-Digest"] = digest
    return response


@bp.get(RULE)
@allow(Permission.DOWNLOAD_CREATE)
def fetch(caller: Caller, model: str, stage: str, digest: str) -> Response:
    """Issue a file. The config, which we make, is no file: whoever may see the list of files may read it."""
    with resources().database.reading() as session:
        step = repositories.require(session, caller, model, stage)
        found = _find(session, step, digest)
    if isinstance(found, Document):
        return answers.document(found)
    checkpoint_id, file = found
    issued = issuing.issue(resources(), caller, Order(step.full_name, checkpoint_id, [file.path]))
    response = Response(status=307, headers={"Location": issued.urls[0], "X-Download-Id": issued.id})
    response.headers["Docker-Content-Digest"] = digest
    return response


def _find(session: Session, stage: StageFacts, digest: str) -> Document | tuple[str, File]:
    """The config of a checkpoint, or a file in the newest checkpoint that has it. Raises NoSuchFile."""
    named = _DIGEST.fullmatch(digest)
    if named is not None:
        if (held := checkpoints.holding(session, resources().database, stage.id, named[1])) is not None:
            return held
        if (artifact := manifests.by_digest(session, stage, digest)) is not None:
            return artifact.config if artifact.config.digest == digest else artifact.manifest
    raise NoSuchFile(
        "No file of this stage has this digest. Nothing was issued.",
        next_step="Pull the manifest again: the stage may have another checkpoint now.",
        checkpoint_id="",
    )
