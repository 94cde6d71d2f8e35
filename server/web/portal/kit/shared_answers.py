"""Shared answers: what everybody is told alike may be kept by caches for a minute, and is asked for within limits."""

from flask import Request, Response

from server.domain.callers import Caller
from server.web.identity import resources
from server.web.portal.kit import limits
from server.web.portal.kit.limits import Limit

KEPT_SECONDS = 60


def count_stranger(caller: Caller) -> None:
    """Count what somebody without a sign-in reads from where they are. Raises TooManyAttempts."""
    if caller.organization_id is None:
        limits.count_here(Limit.READING_OF_ADDRESS)


def kept(response: Response, request: Request) -> Response:
    """Name the answer by its content, and say for how long it may be kept: by everybody's caches where it is open to
    all, by the reader's own where it is not. Whoever has it already is told only that."""
    whose = "public" if resources().settings.public_releases else "private"
    response.headers["Cache-Control"] = f"{whose}, max-age={KEPT_SECONDS}"
    response.add_etag()
    response.make_conditional(request)
    return response
