"""The API's own description, made from the code."""

from apiflask import APIBlueprint
from flask import Response, current_app

from server.web.api.answers import answer
from server.web.identity import open_to_all

bp = APIBlueprint("description", __name__, url_prefix="/api/v1")


@bp.get("/openapi.json")
@open_to_all
@bp.doc(hide=True)
def openapi() -> Response:
    return answer(current_app.spec)  # type: ignore[attr-defined]  # APIFlask's own property
