"""Refusals as S3 tools read them: S3's code, our sentence as the message, and the request's id."""

from typing import Any

from flask import Response, g

from server.domain import errors
from server.domain.errors import Refused
from server.storage.signed_requests import Unsigned
from server.web.s3 import xml

DENIED = "AccessDenied"
STATUS = {
    "AccessDenied": 403, "AuthorizationHeaderMalformed": 400, "AuthorizationQueryParametersError": 400,
    "ExpiredToken": 400, "InvalidAccessKeyId": 403, "InvalidArgument": 400, "InvalidRange": 416, "InvalidToken": 400,
    "InvalidURI": 400, "KeyTooLongError": 400, "MethodNotAllowed": 405, "NoSuchBucket": 404, "NoSuchKey": 404,
    "NotImplemented": 501, "PreconditionFailed": 412, "RequestTimeTooSkewed": 403, "ServiceUnavailable": 503,
    "SignatureDoesNotMatch": 403, "SlowDown": 503, "XAmzContentSHA256Mismatch": 400, "InternalError": 500,
    "InvalidRequest": 400,
}  # fmt: skip
_CODES: dict[type[Refused], str] = {
    errors.NoSuchFile: "NoSuchKey",
    errors.NoSuchCheckpoint: "NoSuchKey",
    errors.RateLimited: "SlowDown",
    errors.TooManyAttempts: "SlowDown",
    errors.InvalidRequest: "InvalidRequest",
    errors.LogUnavailable: "ServiceUnavailable",
}
_OF_STATUS = {404: "NoSuchKey", 405: "MethodNotAllowed", 500: "InternalError", 503: "ServiceUnavailable"}


class Fault(Exception):
    """Something about a request that S3 has a word for."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


def refuse(refused: Refused, parts: dict[str, Any]) -> Response:
    """Return a refusal. parts: as the API would answer."""
    return answer(_CODES.get(type(refused), DENIED), f"{parts['detail']} {parts['next_step']}")


def of_fault(fault: Fault | Unsigned) -> Response:
    return answer(fault.code, str(fault))


def of_status(status: int, sentence: str) -> Response:
    """The same for what went wrong elsewhere."""
    return answer(_OF_STATUS.get(status, "InvalidRequest"), sentence)


def answer(code: str, message: str) -> Response:
    items = [("Code", code), ("Message", message), ("RequestId", g.request_id), ("HostId", "weightgate")]
    return xml.answer("Error", items, namespace="", status=STATUS[code])
