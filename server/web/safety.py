"""Safety: what holds for every request and every answer, whatever the view."""

import secrets

from flask import Flask, Response, g

from server.web.identity import refuse_credentials_in_the_address, refuse_unread_queries, resources

HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def register(app: Flask) -> None:
    app.before_request(_begin)
    app.before_request(refuse_credentials_in_the_address)
    app.before_request(refuse_unread_queries)
    app.after_request(_harden)


def _begin() -> None:
    # Ours, never the client's: it joins answers, refusals and messages, so nobody else may choose it.
    g.request_id = secrets.token_hex(8)


def _harden(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["X-Request-Id"] = g.request_id
    if resources().settings.public_url.startswith("https://"):
        response.headers["Strict-Transport-Security"] = "max-age=63072000; includeSubDomains"
    return response
