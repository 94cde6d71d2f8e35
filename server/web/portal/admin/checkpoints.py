"""Checkpoints: one, with its files, its manifest, who published it and how often it was downloaded."""

from flask import Blueprint, Response

from server.domain.callers import Caller
from server.domain.delivery import usage
from server.domain.permissions import Permission
from server.domain.publish import checkpoints
from server.domain.publish.checkpoints import MANIFEST_TYPE, ManifestForm
from server.web.identity import resources
from server.web.portal.admin.lab import lab_page
from server.web.portal.kit.rendering import render, saved

bp = Blueprint("admin_checkpoints", __name__, url_prefix="/admin/checkpoints")


@bp.get("/<checkpoint_id>")
@lab_page(Permission.CHECKPOINT_READ)
def show(caller: Caller, checkpoint_id: str) -> Response:
    """Everything that is known of a checkpoint."""
    use = resources()
    with use.database.reading() as session:
        checkpoint = checkpoints.get(session, caller, checkpoint_id)
        stage = checkpoint.stage.full_name
        downloads, at_least = usage.downloads_of_checkpoint(session, caller, stage, checkpoint_id)
        return render(
            "admin/checkpoints/show.html", checkpoint=checkpoint, stage=stage, downloads=downloads, at_least=at_least,
            files=list(checkpoints.file_list(session, use.database, checkpoint.id).files.values()),
            is_main=checkpoint.stage.main_checkpoint_id == checkpoint.id,
        )  # fmt: skip


@bp.get("/<checkpoint_id>/manifest")
@lab_page(Permission.CHECKPOINT_READ)
def manifest(caller: Caller, checkpoint_id: str) -> Response:
    """The signed manifest, byte for byte."""
    with resources().database.reading() as session:
        content = checkpoints.manifest(session, checkpoints.get(session, caller, checkpoint_id).id, ManifestForm.FILES)
    return saved(content, MANIFEST_TYPE, f"{checkpoint_id}.manifest.json")
