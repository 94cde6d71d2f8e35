"""Errors: the one place that turns a refusal or a failure into an HTTP answer (RFC 9457)."""

from http import HTTPStatus
from typing import Annotated, Any

import orjson
import structlog
from apiflask import APIFlask
from apiflask.exceptions import _ValidationError
from flask import Response, g, request
from flask_wtf.csrf import CSRFError
from pydantic import BaseModel, Field
from werkzeug.exceptions import HTTPException

from server.domain import errors
from server.domain.access import refusals
from server.domain.errors import Refused
from server.domain.meters import UNAVAILABLE, UNEXPECTED
from server.log.condition import LogUnsound
from server.log.entries import NoLog
from server.logger import redact
from server.storage.database import DATABASE_ERRORS, DatabaseUnavailable, RowTaken
from server.storage.keys import KeyFileError
from server.storage.object_errors import ObjectStoreError
from server.storage.outside import OutsideFault
from server.text import printable
from server.web import doors
from server.web.doors import Door
from server.web.hub import refusals as hub
from server.web.identity import known_caller, resources
from server.web.oci import refusals as oci
from server.web.portal.kit import kept_forms
from server.web.portal.kit import refused as pages
from server.web.s3 import refusals as s3
from server.web.s3 import sts_errors

logger = structlog.get_logger(__name__)

STATUS: dict[type[Refused], int] = {
    errors.AuthenticationRequired: 401,
    errors.InvalidCredentials: 401,
    errors.IdentityTokenRefused: 400,
    errors.IdentityTokenExpired: 400,
    errors.NotTrusted: 400,
    errors.IssuerUnavailable: 503,
    errors.NetworkNotAllowed: 403,
    errors.OrganizationSuspended: 403,
    errors.PersonDisabled: 403,
    errors.NotPermitted: 403,
    errors.InsufficientScope: 403,
    errors.IdentityNotAccepted: 403,
    errors.IdentityProviderUnavailable: 503,
    errors.NotFound: 404,
    errors.NoSuchCheckpoint: 404,
    errors.NoSuchFile: 404,
    errors.RecordArchived: 404,
    errors.NotSealedYet: 404,
    errors.StageHeld: 451,
    errors.StageWithdrawn: 451,
    errors.NotCleared: 403,
    errors.ClearanceExpired: 403,
    errors.AgreementUnsigned: 403,
    errors.AgreementOutdated: 403,
    errors.QuotaExceeded: 429,
    errors.RateLimited: 429,
    errors.TooManyAttempts: 429,
    errors.InvalidRequest: 400,
    errors.NotPossible: 409,
    errors.LogUnavailable: 503,
}
RETRY_AFTER_SECONDS = 2
# Which part did not do its work, in the word that the metrics have for it.
REASONS: dict[type[Exception], str] = {
    DatabaseUnavailable: "database",
    NoLog: "log",
    LogUnsound: "log",
    KeyFileError: "keys",
    OutsideFault: "outside",
    ObjectStoreError: "store",
}
STATEMENT = "statement"  # which the database refused
_HTTP_CODES = {
    404: ("not_found", "Check the address. /api/v1/openapi.json lists every address."),
    405: ("method_not_allowed", "Use a method listed in the Allow header."),
    406: ("not_acceptable", "Accept application/json, or one of the other forms that /api/v1/openapi.json lists."),
    413: ("payload_too_large", "Send at most 1000000 bytes. To get all files, omit `paths`."),
    415: ("unsupported_media_type", "Send JSON with `Content-Type: application/json`."),
}


class Problem(BaseModel):
    """Why nothing came of a request (RFC 9457), and what to do now."""

    type: str
    status: int
    code: Annotated[str, Field(description="A stable code for programs.")]
    title: str
    detail: str
    next_step: str
    request_id: Annotated[str, Field(description="Quote this when you ask for help.")]


def register(app: APIFlask) -> None:
    """Answer every way in which a request can end badly. No exception's text leaves but our own sentences."""
    app.register_error_handler(Refused, _refused)
    app.register_error_handler(DatabaseUnavailable, _unavailable)
    app.register_error_handler(NoLog, _unavailable)
    app.register_error_handler(LogUnsound, _unavailable)
    app.register_error_handler(KeyFileError, _unavailable)
    app.register_error_handler(OutsideFault, _unavailable)
    app.register_error_handler(ObjectStoreError, _store_unavailable)
    for kind in DATABASE_ERRORS:
        app.register_error_handler(kind, _broken)
    app.register_error_handler(RowTaken, _taken)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(CSRFError, _form_expired)
    app.register_error_handler(Exception, _unexpected)
    app.register_error_handler(_ValidationError, _invalid)  # APIFlask has no public name for it


def as_problem(refused: Refused) -> dict[str, Any]:
    """A refusal's parts that also stand inside other answers, such as a stage's."""
    contact = resources().settings.contact
    return {
        "code": refused.code,
        "title": str(type(refused).__doc__),
        "detail": refused.detail,
        "next_step": refused.next_step.replace("{contact}", contact),
    }


def _refused(refused: Refused) -> Response:
    status, door = STATUS[type(refused)], doors.entered()
    if not (door in {Door.HUB, Door.S3} and hub.is_probe(refused)):
        _record(refused)
    if door is Door.HUB:
        response = hub.refuse(refused, status, as_problem(refused))
    elif door is Door.OCI:
        response = oci.refuse(refused, status, as_problem(refused))
    elif door is Door.S3:
        response = s3.refuse(refused, as_problem(refused))
    elif door is Door.STS:
        response = sts_errors.refuse(refused, as_problem(refused))
    else:
        response = _problem(status, wait_seconds=refused.retry_after_seconds, **as_problem(refused))
    if response.status_code == 401:
        response.headers.setdefault("WWW-Authenticate", "Bearer")
    if refused.retry_after_seconds:
        response.headers["Retry-After"] = str(refused.retry_after_seconds)
    return response


def _record(refused: Refused) -> None:
    try:
        refusals.record(resources(), known_caller(), refused, _fit(f"{request.method} {request.path}"))
    except (DatabaseUnavailable, *DATABASE_ERRORS):
        # It stays a refusal: that it could not be noted is no reason to say anything else.
        logger.warning("refusal_not_recorded", code=refused.code, request_id=g.request_id)


def _taken(_: RowTaken) -> Response:
    return _refused(errors.taken_meanwhile())


def _unavailable(error: Exception) -> Response:
    logger.error("unavailable", error=type(error).__name__, detail=str(error), request_id=g.request_id)
    return _try_again(_reason(error))


def _reason(error: Exception) -> str:
    return next((reason for kind, reason in REASONS.items() if isinstance(error, kind)), STATEMENT)


def _store_unavailable(error: Exception) -> Response:
    logger.error("store_unavailable", error=type(error).__name__, detail=str(error), request_id=g.request_id)
    return _try_again(_reason(error), "The object store does not do its part right now.")


def _broken(error: Exception) -> Response:
    """The database refused a statement: a failure of ours, and nothing of the request is stored."""
    # Without the driver's own text, which may quote what was to be written.
    statement = getattr(error, "statement", None)
    logger.error("database_refused", error=type(error).__name__, statement=statement, request_id=g.request_id)
    return _try_again(STATEMENT)


def _try_again(reason: str, detail: str = "The server cannot record anything right now.") -> Response:
    resources().meters.add(UNAVAILABLE, reason)
    response = _problem(503, **as_problem(errors.LogUnavailable(detail)))
    response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


def _invalid(error: Any) -> Response:
    faults = [f"{field}: {', '.join(texts)}" for field, texts in _flat(error.detail)]
    return _refused(errors.InvalidRequest(_fit("; ".join(faults)[:1000])))


def _flat(detail: Any) -> list[tuple[str, list[str]]]:
    return [
        (str(field), [text.removeprefix("Value error, ") for text in texts])
        for place in detail.values()
        for field, texts in place.items()
    ]


def _http(error: HTTPException) -> Response:
    status = error.code or 500
    if status >= 500:
        return _unexpected(error)
    code, next_step = _HTTP_CODES.get(status, ("invalid_request", errors.InvalidRequest.next_step))
    response = _problem(
        status, code=code, title=HTTPStatus(status).phrase, detail=HTTPStatus(status).description, next_step=next_step
    )
    response.headers.extend(
        [(name, value) for name, value in error.get_headers() if name in {"Allow", "Retry-After", "Location"}]
    )
    return response


def _form_expired(_: CSRFError) -> Response:
    """A form without a valid CSRF token, or with an expired one."""
    return _problem(
        400,
        code="form_expired",
        title="This form has expired or is not valid.",
        detail="The form was sent without a valid CSRF token.",
        next_step="Reload the page and submit the form again.",
    )


def _unexpected(error: Exception) -> Response:
    logger.error("unexpected", exc_info=error, request_id=g.request_id)
    resources().meters.add(UNEXPECTED)
    return _problem(
        500,
        code="internal_error",
        title="Something went wrong on our side.",
        detail="Nothing was issued.",
        next_step=f"Try again later. If this keeps happening, send the request ID to {resources().settings.contact}.",
    )


def _fit(text: str) -> str:
    """What a client sent, fit to be kept and to be sent back: a token among it must not go further."""
    return redact(printable(text, ""))


def _problem(status: int, *, wait_seconds: int = 0, **parts: Any) -> Response:
    if doors.is_for_people():
        # A person reads it: who is not signed in is asked to, and everything else has its page.
        if status == 401 and (request.method == "GET" or kept_forms.keep()):
            return pages.to_sign_in()
        return pages.page(status, wait_seconds=wait_seconds, **parts)
    if doors.entered() is Door.HUB:
        return hub.answer(status, f"{parts['detail']} {parts['next_step']}")
    if doors.entered() is Door.OCI:
        return oci.answer(status, f"{parts['detail']} {parts['next_step']}")
    if doors.entered() is Door.S3:
        return s3.of_status(status, f"{parts['detail']} {parts['next_step']}")
    if doors.entered() is Door.STS:
        return sts_errors.of_status(status, f"{parts['detail']} {parts['next_step']}")
    body = {"type": f"urn:weightgate:{parts['code']}", "status": status, **parts, "request_id": g.request_id}
    return Response(orjson.dumps(body), status=status, mimetype="application/problem+json")
