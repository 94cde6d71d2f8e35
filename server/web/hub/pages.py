"""Parts of long lists: the client follows a `Link` header, and sends its token to whatever that says."""

from typing import Any
from urllib.parse import quote, urlencode

import orjson
from flask import Response, request

from server.web.identity import resources

ITEMS_AT_MOST = 1000


def limit() -> int:
    """How many items the client wants at most. What is no such number is as if it were not there."""
    asked = request.args.get("limit", "")
    wanted = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 5 else ITEMS_AT_MOST
    return min(max(wanted, 1), ITEMS_AT_MOST)


def answer(items: Any, next_cursor: str | None = None) -> Response:
    """Return JSON, and where it goes on: always at our own public address."""
    response = Response(orjson.dumps(items), mimetype="application/json")
    if next_cursor is not None:
        query = [(name, value) for name, value in request.args.items(multi=True) if name != "cursor"]
        here = f"{resources().settings.public_url}{quote(request.path)}"
        response.headers["Link"] = f'<{here}?{urlencode([*query, ("cursor", next_cursor)])}>; rel="next"'
    return response


def flag(name: str) -> bool:
    """A parameter that is true: `true` in newer clients, `True` in older ones."""
    return request.args.get(name, "").lower() == "true"
