"""Refusals as the AWS libraries read them where they ask for keys."""

from typing import Any

from flask import Response, g

from server.domain import errors
from server.domain.errors import Refused
from server.web.s3 import xml

NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"
_CODES: dict[type[Refused], str] = {
    errors.AuthenticationRequired: "InvalidIdentityToken",
    errors.InvalidCredentials: "InvalidIdentityToken",
    errors.IdentityTokenRefused: "InvalidIdentityToken",
    errors.IdentityTokenExpired: "ExpiredTokenException",
    errors.IssuerUnavailable: "IDPCommunicationError",
    errors.InvalidRequest: "ValidationError",
    errors.RateLimited: "Throttling",
    errors.TooManyAttempts: "Throttling",
    errors.LogUnavailable: "ServiceUnavailable",
}
_STATUS = {
    "InvalidIdentityToken": 400, "ExpiredTokenException": 400, "ValidationError": 400, "Throttling": 400,
    "IDPCommunicationError": 503, "ServiceUnavailable": 503,
}  # fmt: skip
_OF_STATUS = {500: "InternalFailure", 503: "ServiceUnavailable"}


def refuse(refused: Refused, parts: dict[str, Any]) -> Response:
    """Return a refusal. parts: as the API would answer. What is not known here is told apart from nothing: 403."""
    code = _CODES.get(type(refused), "AccessDenied")
    return _answer(code, f"{parts['detail']} {parts['next_step']}", _STATUS.get(code, 403))


def of_status(status: int, sentence: str) -> Response:
    """The same for what went wrong elsewhere."""
    return _answer(
        _OF_STATUS.get(status, "InvalidAction" if status in {404, 405} else "ValidationError"), sentence, status
    )


def _answer(code: str, message: str, status: int) -> Response:
    error = [("Type", "Receiver" if status >= 500 else "Sender"), ("Code", code), ("Message", message)]
    return xml.answer("ErrorResponse", [("Error", error), ("RequestId", g.request_id)], NAMESPACE, status)
