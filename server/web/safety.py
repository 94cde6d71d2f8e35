"""Safety: what holds for every request and every answer, whatever the view."""

import secrets
from collections.abc import Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import Flask, g, request

from server.domain.resources import Resources
from server.web.identity import refuse_credentials_in_the_address, refuse_unread_queries

HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
}
OVER_TLS = {"Strict-Transport-Security": "max-age=63072000; includeSubDomains"}
_REQUEST_ID = "weightgate.request_id"  # in WSGI's environment


class HardenedAnswers:
    """Gives each answer its request's ID, and those of the security headers that its view has not set (PEP 3333)."""

    def __init__(self, app: WSGIApplication, use: Resources) -> None:
        self._app = app
        always = HEADERS | (OVER_TLS if use.settings.public_url.startswith("https://") else {})
        self._always = [(name, value, name.lower()) for name, value in always.items()]

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request_id = environ[_REQUEST_ID] = _new_id()

        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            chosen = {name.lower() for name, _ in headers}
            added = [(name, value) for name, value, lower in self._always if lower not in chosen]
            return start_response(status, [*headers, *added, ("X-Request-Id", request_id)], *error)

        return self._app(environ, start)


def register(app: Flask, use: Resources) -> None:
    app.wsgi_app = HardenedAnswers(app.wsgi_app, use)  # type: ignore[method-assign]  # as Flask has it be done
    app.before_request(_begin)
    app.before_request(refuse_credentials_in_the_address)
    app.before_request(refuse_unread_queries)


def _begin() -> None:
    g.request_id = request.environ.get(_REQUEST_ID) or _new_id()  # without one where nothing is answered


def _new_id() -> str:
    """Ours, never the client's: it joins answers, refusals and messages, so nobody else may choose it."""
    return secrets.token_hex(8)
