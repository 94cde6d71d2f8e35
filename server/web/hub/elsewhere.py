"""What the client asks for that is no model of ours: datasets and spaces, its own telemetry, and all the rest."""

from flask import Blueprint, Flask, Response
from werkzeug.routing import PathConverter

from server.domain.errors import NotFound
from server.web.hub import pages, refusals
from server.web.identity import open_to_all

bp = Blueprint("hub_elsewhere", __name__)


class OfTheHub(PathConverter):
    """The rest of an address below /api/ that is not our own API's."""

    regex = "(?!v1(?:/|$))[^/].*?"


def register(app: Flask) -> None:
    """Let the addresses below be understood."""
    app.url_map.converters["of_the_hub"] = OfTheHub


@bp.get("/api/agent-harnesses")
@open_to_all
def agent_harnesses() -> Response:
    """None. The client keeps this for a day; after a 404 each of its processes would ask again."""
    return pages.answer({"standardEnvVars": [], "harnesses": {}})


@bp.get("/api/telemetry/<path:topic>")
@open_to_all
def telemetry(topic: str) -> Response:  # noqa: ARG001  # whatever it is
    """What the client tells of itself goes nowhere."""
    return Response(status=204)


@bp.get("/datasets/<path:rest>")
@bp.get("/spaces/<path:rest>", endpoint="space")
@bp.get("/api/datasets/<path:rest>", endpoint="about_dataset")
@bp.get("/api/spaces/<path:rest>", endpoint="about_space")
@open_to_all
def other_kind(rest: str) -> Response:  # noqa: ARG001  # there is none of any name
    """There are models alone."""
    raise NotFound("There are no datasets or spaces here, only models.", next_step="Leave `repo_type` out.")


@bp.route("/api/<of_the_hub:rest>", methods=["GET", "POST"])
@open_to_all
def unknown(rest: str) -> Response:  # noqa: ARG001  # whatever the public hub has there
    """Everything else that the public hub can do."""
    return refusals.answer(404, "This server does not offer this.")
