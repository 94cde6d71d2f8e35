"""Refusals as container tools read them: a code of the protocol (OCI Distribution 1.1, "Error Codes"), our sentence."""

from typing import Any

import orjson
from flask import Response, g, request

from server.domain import errors
from server.domain.errors import Refused
from server.web.identity import resources

TOKENS = "/v2/token"
CODES: dict[type[Refused], str] = {
    errors.AuthenticationRequired: "UNAUTHORIZED",
    errors.InvalidCredentials: "UNAUTHORIZED",
    errors.NotFound: "NAME_UNKNOWN",
    errors.NoSuchCheckpoint: "MANIFEST_UNKNOWN",
    errors.NoSuchFile: "BLOB_UNKNOWN",
    errors.InvalidRequest: "UNSUPPORTED",
    errors.RateLimited: "TOOMANYREQUESTS",
    errors.TooManyAttempts: "TOOMANYREQUESTS",
    errors.QuotaExceeded: "TOOMANYREQUESTS",
}
_STATUS_CODES = {404: "NAME_UNKNOWN", 405: "UNSUPPORTED", 503: "UNAVAILABLE"}


def refuse(refused: Refused, status: int, parts: dict[str, Any]) -> Response:
    """Return a refusal. status, parts: as the API would answer."""
    response = answer(status, f"{parts['detail']} {parts['next_step']}", CODES.get(type(refused), "DENIED"))
    if status == 401:
        challenge(response)
    return response


def answer(status: int, text: str, code: str | None = None) -> Response:
    """Return an error in the protocol's form."""
    error = {
        "code": code or _STATUS_CODES.get(status, "DENIED"),
        "message": text,
        "detail": {"request_id": g.request_id},
    }
    return Response(orjson.dumps({"errors": [error]}), status=status, mimetype="application/json")


def challenge(response: Response) -> None:
    """Say where a token is had, and for what (the distribution project's token authentication, RFC 6750 section 3)."""
    public_url = resources().settings.public_url
    parts = {"realm": f"{public_url}{TOKENS}", "service": public_url.partition("://")[2]}
    named = request.view_args or {}
    if "model" in named:
        parts["scope"] = f"repository:{named['model']}/{named['stage']}:pull"
    response.headers["WWW-Authenticate"] = "Bearer " + ",".join(f'{key}="{value}"' for key, value in parts.items())
