"""Resolving one file: HEAD tells what it is, GET issues it.

Only a GET is a download. The client asks HEAD at every look into its cache, also when it has the file; were that a
redirect, some versions would follow it with the token. GET is decided, logged and redirected anew each time, also when
a download goes on after its connection was lost.
"""

from flask import Blueprint, Response

from server.domain.access import rule
from server.domain.callers import Caller
from server.domain.downloads import issuing
from server.domain.downloads.issuing import Order
from server.domain.permissions import Permission
from server.domain.publish.checkpoints import File
from server.web import renamed
from server.web.hub import revisions
from server.web.identity import allow, resources

bp = Blueprint("hub_resolve", __name__)
RULE = "/<model>/<stage>/resolve/<revision>/<path:path>"


@bp.route(RULE, methods=["HEAD"])  # before GET, which would answer it, too
@allow(Permission.CHECKPOINT_READ)
def look(caller: Caller, model: str, stage: str, revision: str, path: str) -> Response:
    """The size and hash of a file. Nothing is issued, and no URL exists."""
    use = resources()
    with use.database.reading() as session:
        sight, listed = revisions.require(session, caller, f"{model}/{stage}", revision)
    (file,) = rule.named_files(use, sight.stage, listed, [path])
    response = _described(Response(mimetype="application/octet-stream"), listed.checkpoint_id, file)
    response.content_length = file.size_bytes
    response.headers["Accept-Ranges"] = "bytes"
    return response


@bp.get(RULE)
@allow(Permission.DOWNLOAD_CREATE, issues=True)
def fetch(caller: Caller, model: str, stage: str, revision: str, path: str) -> Response:
    """Issue a file, or the rest of one: the answer leads to its signed URL."""
    asked = f"{model}/{stage}"
    issued = issuing.issue(resources(), caller, Order(asked, revision, [path]))
    renamed.tell(asked, issued.stage)
    response = Response(status=302, headers={"Location": issued.urls[0], "X-Download-Id": issued.id})
    return _described(response, issued.checkpoint_id, issued.files[0])


def _described(response: Response, checkpoint_id: str, file: File) -> Response:
    """Say which version of what it is. By the ETag the client names the file in its cache."""
    response.headers["X-Repo-Commit"] = checkpoint_id
    response.headers["ETag"] = response.headers["X-Linked-Etag"] = f'"{file.sha256}"'
    response.headers["X-Linked-Size"] = str(file.size_bytes)
    return response
