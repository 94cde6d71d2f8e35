"""Token exchange: a workload's identity token for a token of ours (RFC 8693), at the address for tokens of devices.

A part of `device_logins.py`, which knows the grants by their names.
"""

import re
from typing import Any

from flask import Response, request

from server.domain.access import refusals
from server.domain.errors import (
    InvalidRequest,
    IssuerUnavailable,
    Refused,
    TooManyAttempts,
)
from server.domain.identity import exchanges
from server.domain.identity.exchanges import Wish
from server.domain.permissions import Scope
from server.web.api.answers import answer
from server.web.identity import resources, stranger

GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105  # a type's name
IDENTITY_TYPES = frozenset(f"urn:ietf:params:oauth:token-type:{name}" for name in ("jwt", "id_token"))
_AUDIENCE = re.compile(r"(?P<organization>[a-z0-9][a-z0-9-]{0,99})(/(?P<number>[0-9]{1,9}))?")
_CODES: dict[type[Refused], tuple[str, int]] = {
    InvalidRequest: ("invalid_request", 400),
    TooManyAttempts: ("slow_down", 429),
    IssuerUnavailable: ("temporarily_unavailable", 503),
}


def answered(
    subject_token: str, subject_token_type: str, scope: str | None, audience: str | None, requested: str | None
) -> Response:
    """The token for a workload (section 2.2.1), or why there is none (section 2.2.2). requested: the type of token."""
    if not subject_token or subject_token_type not in IDENTITY_TYPES:
        return refused("invalid_request", "`subject_token` and `subject_token_type` (jwt or id_token) are required.")
    if requested not in {None, "", ACCESS_TOKEN}:
        return refused("invalid_request", f"`requested_token_type` can only be {ACCESS_TOKEN}.")
    named = _AUDIENCE.fullmatch(audience or "")
    if audience and named is None:
        return refused(
            "invalid_target", "`audience` is ORGANIZATION or ORGANIZATION/NUMBER, the trust record's number."
        )
    try:
        scopes = None if scope is None else {Scope(word) for word in scope.split()}
    except ValueError:
        return refused("invalid_scope", f"Known scopes: {', '.join(Scope)}.")
    parts = {} if named is None else named.groupdict()
    number = None if parts.get("number") is None else int(parts["number"])
    return _exchanged(subject_token.strip(), Wish(scopes, parts.get("organization"), number))


def _exchanged(text: str, wish: Wish) -> Response:
    use, unknown = resources(), stranger()
    try:
        made = exchanges.exchange(use, unknown, text, wish)
    except Refused as error:
        refusals.record(use, unknown, error, f"{request.method} {request.path}")
        code, status = _CODES.get(type(error), ("invalid_grant", 400))
        next_step = error.next_step.replace("{contact}", use.settings.contact)
        return refused(code, f"{error.detail} {next_step}", status, error.retry_after_seconds)
    of = made.token
    said: dict[str, Any] = {
        "access_token": made.text,
        "issued_token_type": ACCESS_TOKEN,
        "token_type": "Bearer",
        "expires_in": int((of.expires_at - of.created_at).total_seconds()),
        "scope": of.scopes,
    }
    return answer(said)


def refused(error: str, why: str, status: int = 400, wait_seconds: int = 0) -> Response:
    """Why there is no token, in OAuth's form (RFC 6749, section 5.2)."""
    response = answer({"error": error, "error_description": why}, status)
    if wait_seconds:
        response.headers["Retry-After"] = str(wait_seconds)
    return response
