"""Answers with the headers that every part of the protocol has."""

from typing import Any

import orjson
from flask import Response

from server.web.oci.artifacts import Document


def json_of(content: dict[str, Any], media_type: str = "application/json") -> Response:
    response = Response(orjson.dumps(content), mimetype=media_type)
    response.headers["Docker-Distribution-Api-Version"] = "registry/2.0"
    return response


def document(found: Document) -> Response:
    """A document of ours, under its digest."""
    response = Response(found.content, mimetype=found.media_type)
    response.headers["Docker-Content-Digest"] = found.digest
    response.headers["ETag"] = f'"{found.digest}"'
    return response
