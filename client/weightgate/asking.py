"""Asking the server's API: JSON in and out. A refusal keeps its code, its sentence and its next step (RFC 9457)."""

import json
from collections.abc import Callable
from typing import Any

from weightgate.http import Response, Server
from weightgate.log.encoding import load_json_object
from weightgate.verdicts import CannotTell, Malformed, Refused

ANSWER_BYTES_AT_MOST = 16 * 1024 * 1024  # a thousand files with their URLs are about 4 MB
_TEXT_CHARACTERS_AT_MOST = 1000
_ANY = range(200, 600)


def get(server: Server, path: str) -> dict[str, Any]:
    """Return what a GET answers. Raises Refused, or CannotTell when the server does not say."""
    return fields_of(_limited(lambda: server.get(path, ANSWER_BYTES_AT_MOST, with_token=True, body_of=_ANY)), {200})


def post(server: Server, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Return what a POST answers. Raises as `get`."""
    return fields_of(
        _limited(lambda: server.post(path, json.dumps(body).encode(), ANSWER_BYTES_AT_MOST)), {200, 201, 202}
    )


def content(server: Server, path: str, limit_bytes: int) -> bytes:
    """Return the bytes of a document. Raises as `get`."""
    response = _limited(lambda: server.get(path, limit_bytes, with_token=True, body_of=_ANY))
    if response.status != 200 or response.content_type == "text/html":
        raise _no(response)
    return response.body


def every(server: Server, path: str) -> list[dict[str, Any]]:
    """Return all items of a list, page by page. Raises as `get`."""
    items: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = get(server, f"{path}?limit=200{cursor}")
        items += page.get("items", [])
        if not isinstance(following := page.get("next_cursor"), str):
            return items
        cursor = f"&cursor={following}"


def fields_of(response: Response, expected: set[int]) -> dict[str, Any]:
    """Return a response's JSON. Raises Refused for a problem, CannotTell for what is none of ours."""
    if response.status not in expected or response.content_type == "text/html":
        raise _no(response)
    try:
        return load_json_object(response.body)
    except Malformed as error:
        raise _malformed(error) from None


def printable(text: object) -> str:
    """Return a server's sentence, fit for one line of a terminal."""
    shown = "".join(character if character.isprintable() else " " for character in str(text))
    return " ".join(shown.split())[:_TEXT_CHARACTERS_AT_MOST]


def _limited(asked: Callable[[], Response]) -> Response:
    try:
        return asked()
    except Malformed as error:
        raise _malformed(error) from None


def _malformed(error: Malformed) -> CannotTell:
    return CannotTell("malformed_answer", f"The server's answer is malformed: {error}.", "Check --endpoint.")


def _no(response: Response) -> Refused | CannotTell:
    """What a response means that is not the one that was asked for."""
    if response.content_type == "text/html" and response.status < 400:
        return CannotTell(
            "web_page",
            f"A web page came back (HTTP {response.status}) where the server's answer was expected.",
            "If this network asks for a sign-in, open a browser and sign in. Else check --endpoint.",
        )
    try:
        problem = load_json_object(response.body) if response.content_type == "application/problem+json" else {}
    except Malformed:
        problem = {}
    if {"code", "detail", "next_step"} <= problem.keys() and response.status < 500:
        code, sentence, step = (printable(problem[name]) for name in ("code", "detail", "next_step"))
        return Refused(code, sentence, step, response.retry_after_seconds)
    return CannotTell("no_answer", f"The server cannot answer now (HTTP {response.status}).")
