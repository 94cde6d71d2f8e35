"""Observing: how long each request took, and the line that says so, whatever came of it."""

import logging
import time

import structlog
from flask import Flask, Response, g, request

from server import traces
from server.domain.meters import ISSUED, ISSUED_BYTES, ISSUED_FILES, REFUSALS, REQUESTS, UNAVAILABLE, UNEXPECTED
from server.domain.resources import Resources
from server.logger import without_links
from server.web.doors import Door
from server.web.errors import REASONS, STATEMENT, STATUS
from server.web.identity import known_caller, resources

logger = structlog.get_logger("server.access")
PATH_CHARACTERS_AT_MOST = 500
ISSUING = (Door.API, Door.HUB, Door.OCI, Door.PORTAL, Door.S3, Door.STS)


def register(app: Flask, use: Resources) -> None:
    """Call it before anything else has its hooks: then the time begins first and ends last."""
    app.before_request(_begin)
    app.after_request(_end)
    app.teardown_request(_close)
    if use.settings.access_lines:
        logging.getLogger("server.access").setLevel(logging.INFO)  # whatever `logger_level` leaves out
    # What has not happened yet is counted as 0: of a series that begins with 1, nobody would see the first.
    for door in ISSUING:
        for metric in (ISSUED, ISSUED_FILES, ISSUED_BYTES):
            use.meters.add(metric, door.name.lower(), by=0)
    for code in sorted(kind.code for kind in STATUS):
        use.meters.add(REFUSALS, code, by=0)
    for reason in sorted({*REASONS.values(), STATEMENT}):
        use.meters.add(UNAVAILABLE, reason, by=0)
    use.meters.add(UNEXPECTED, by=0)


def _begin() -> None:
    g.began = time.perf_counter()
    g.trace = traces.Request(request.method, "none" if request.url_rule is None else request.url_rule.rule)


def _end(response: Response) -> Response:
    try:
        _observe(response, time.perf_counter() - g.began)
    except Exception:  # wider than elsewhere: whatever is wrong here, the request was answered, and perhaps issued
        logger.exception("a request could not be observed")
    return response


def _observe(response: Response, seconds: float) -> None:
    use = resources()
    use.meters.observe(REQUESTS, seconds, request.endpoint or "none", f"{response.status_code // 100}xx")
    g.trace.answered(response.status_code, g.request_id)
    if use.settings.access_lines:
        _say(response, seconds)


def _close(_: BaseException | None) -> None:
    if "trace" in g:
        g.trace.end()


def _say(response: Response, seconds: float) -> None:
    """One line without a query, a header or a body; a path up to what could be a secret in it."""
    caller = known_caller()
    known = {"address": caller.address, "token": caller.token_public_id, "person": caller.person_id}
    logger.info(
        "request",
        method=request.method[:20],
        route=None if request.url_rule is None else request.url_rule.rule,
        path=without_links(request.path)[:PATH_CHARACTERS_AT_MOST],
        status=response.status_code,
        seconds=round(seconds, 6),
        bytes=0 if request.method == "HEAD" else response.calculate_content_length(),
        request_id=g.request_id,
        **{name: value for name, value in known.items() if value is not None},
    )
