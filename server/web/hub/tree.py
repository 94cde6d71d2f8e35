"""The tree of a checkpoint: its files and folders, with their sizes and hashes."""

from flask import Blueprint, Response, request

from server.domain.access import rule
from server.domain.callers import Caller
from server.domain.permissions import Permission
from server.web.hub import entries, pages, revisions
from server.web.identity import allow, resources

bp = Blueprint("hub_tree", __name__, url_prefix="/api/models/<model>/<stage>")


@bp.get("/tree/<revision>")
@bp.get("/tree/<revision>/<path:folder>", endpoint="of_folder")
@allow(Permission.CHECKPOINT_READ)
def index(caller: Caller, model: str, stage: str, revision: str, folder: str = "") -> Response:
    """What lies in a folder, in parts. That there is none is how a tokenizer learns that it has no more templates."""
    use = resources()
    with use.database.reading() as session:
        sight, listed = revisions.require(session, caller, f"{model}/{stage}", revision)
    found = entries.tree(listed.files.values(), folder, recursive=pages.flag("recursive"))
    if folder and not found:
        rule.named_files(use, sight.stage, listed, [f"{folder}/"])  # no file's path ends like this
    after, at_most = request.args.get("cursor", ""), pages.limit()
    paths = [path for path in found if path > after]
    shown = paths[:at_most]
    return pages.answer([found[path] for path in shown], shown[-1] if len(paths) > at_most else None)


@bp.post("/paths-info/<path:revision>")
@allow(Permission.CHECKPOINT_READ)
def paths_info(caller: Caller, model: str, stage: str, revision: str) -> Response:
    """The entries of the paths that are asked for; of what is not there, none."""
    with resources().database.reading() as session:
        _, listed = revisions.require(session, caller, f"{model}/{stage}", revision)
    found = entries.tree(listed.files.values(), "", recursive=True)
    asked = dict.fromkeys(request.form.getlist("paths"))
    return pages.answer([found[path] for path in asked if path in found])
