"""The API's own description: `openapi.json` beside this file, which `python docs/openapi.py` makes from the code.

It is committed, so that a change to the API shows in review; a test compares it with what the code gives.
"""

import re
from pathlib import Path
from typing import Any

import orjson
from apiflask import APIBlueprint, APIFlask
from flask import Response, current_app

from server.domain.permissions import POLICY
from server.web.errors import Problem
from server.web.identity import open_to_all

bp = APIBlueprint("description", __name__, url_prefix="/api/v1", tag="description")
PATH = Path(__file__).with_name("openapi.json")
DOCUMENT: dict[int | str, Any] = {
    200: {"description": "OpenAPI 3.1.", "content": {"application/json": {"schema": {"type": "object"}}}}
}
PROBLEM_CONTENT: dict[str, Any] = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
PROBLEM = {"description": str(Problem.__doc__), "content": PROBLEM_CONTENT}


@bp.get("/openapi.json")
@open_to_all
@bp.doc(responses=DOCUMENT)
def openapi() -> Response:
    """This document."""
    return Response(current_app.extensions["openapi"], mimetype="application/json")


def describe(app: APIFlask) -> None:
    """Give the app its document, with this instance's address: what else it says depends on the code alone."""
    app.config["AUTO_VALIDATION_ERROR_RESPONSE"] = False  # ours are problems, not what APIFlask would answer
    servers = [{"url": app.extensions["weightgate"].settings.public_url}]
    app.extensions["openapi"] = orjson.dumps(orjson.loads(PATH.read_bytes()) | {"servers": servers})


def generated(app: APIFlask) -> bytes:
    """Return the document as the app's code gives it, for no address in particular."""
    app.security_schemes = {
        "token": {"type": "http", "scheme": "bearer", "description": "`wgk_…`, created by a person."}
    }
    app.spec_processor(lambda spec: _completed(app, spec))
    return orjson.dumps(app.spec, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)


def _completed(app: APIFlask, spec: Any) -> Any:
    """Add what APIFlask cannot know: how we refuse, and which routes take a token."""
    spec["components"]["schemas"]["Problem"] = Problem.model_json_schema()
    spec["components"]["responses"] = {"Problem": PROBLEM}
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<(?:[^<:]+:)?([^>]+)>", r"{\1}", rule.rule)
        for method in (rule.methods or set()) & {"GET", "POST"}:
            operation = spec["paths"].get(path, {}).get(method.lower())
            if operation is not None:
                operation["responses"]["default"] = {"$ref": "#/components/responses/Problem"}
                operation["security"] = _security(app.view_functions[rule.endpoint])
                if "requestBody" in operation:
                    operation["requestBody"]["required"] = True
    return spec


def _security(view: Any) -> list[dict[str, list[str]]]:
    """Which credentials a view takes; `{}` stands for none."""
    if view.permission is None:
        return []
    return [{"token": []}, {}] if POLICY[view.permission].anonymous else [{"token": []}]
