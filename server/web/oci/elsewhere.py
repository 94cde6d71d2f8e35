"""What the registry protocol has and this one does not: writing of every kind, and names of another form."""

from flask import Blueprint, Response

from server.web.identity import open_to_all
from server.web.oci import refusals

bp = Blueprint("oci_elsewhere", __name__)


@bp.get("/v2/<path:rest>")
@open_to_all
def unknown(rest: str) -> Response:  # noqa: ARG001  # whatever it is
    """A repository here has two parts: <model>/<stage>."""
    return refusals.answer(404, "There is no such repository. Repositories are named <model>/<stage>, in lower case.")


@bp.route("/v2/<path:rest>", methods=["POST", "PUT", "PATCH", "DELETE"], endpoint="writing")
@open_to_all
def write(rest: str) -> Response:  # noqa: ARG001  # wherever to
    """Pushes, mounts and deletions: the lab publishes in another way."""
    return refusals.answer(405, "This registry can only be pulled from. Nothing was changed.")
