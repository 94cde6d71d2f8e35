"""Manifests: a checkpoint as an artifact, by `main`, its ID, or the digest of the manifest. Nothing is issued."""

import threading

from flask import Blueprint, Response
from sqlalchemy.orm import Session

from server.domain.access import rule
from server.domain.access.facts import StageFacts
from server.domain.callers import Caller
from server.domain.errors import NoSuchCheckpoint
from server.domain.permissions import Permission
from server.domain.publish import checkpoints
from server.domain.publish.checkpoints import MAIN
from server.storage.database import Database
from server.web.identity import allow, resources
from server.web.oci import answers, artifacts, repositories
from server.web.oci.artifacts import Artifact

bp = Blueprint("oci_manifests", __name__)
LATEST = "latest"  # what tools ask for where no tag is named
DIGESTS_KEPT = 4096


@bp.get("/v2/<model>/<stage>/manifests/<reference>")
@allow(Permission.CHECKPOINT_READ)
def show(caller: Caller, model: str, stage: str, reference: str) -> Response:
    """The manifest of an artifact."""
    with resources().database.reading() as session:
        found = repositories.require(session, caller, model, stage)
        if ":" in reference:
            artifact = by_digest(session, found, reference)
            if artifact is None or artifact.manifest.digest != reference:
                raise NoSuchCheckpoint
        else:
            name = MAIN if reference == LATEST else reference
            artifact = artifacts.of(rule.file_list(session, resources(), found, name))
    return answers.document(artifact.manifest)


def by_digest(session: Session, stage: StageFacts, digest: str) -> Artifact | None:
    """The artifact of a stage with a document of this digest, newest first; None where no checkpoint has it.

    Digests are kept, because they never change: only the first question reads all lists of files.
    """
    database = resources().database
    for key, _ in checkpoints.names(session, stage.id):
        known = _kept.get((database, key))
        if known is None or digest in known:
            artifact = artifacts.of(checkpoints.file_list(session, database, key))
            known = {artifact.manifest.digest, artifact.config.digest}
            with _keeping:
                while len(_kept) >= DIGESTS_KEPT:
                    del _kept[next(iter(_kept))]
                _kept[database, key] = known
            if digest in known:
                return artifact
    return None


_keeping = threading.Lock()
_kept: dict[tuple[Database, int], set[str]] = {}
