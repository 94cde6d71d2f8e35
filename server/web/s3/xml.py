"""XML as S3 and STS write it: names and texts, nested; no attribute but the namespace."""

from collections.abc import Iterable
from xml.sax.saxutils import escape

from flask import Response

from server.text import printable

Item = tuple[str, "str | int | bool | Iterable[Item]"]
S3 = "http://s3.amazonaws.com/doc/2006-03-01/"


def answer(name: str, items: Iterable[Item], namespace: str = S3, status: int = 200) -> Response:
    """Return a document. namespace: "" for none."""
    opening = f'{name} xmlns="{namespace}"' if namespace else name
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<{opening}>{_written(items)}</{name}>'
    return Response(body, status=status, content_type="application/xml")


def _written(items: Iterable[Item]) -> str:
    return "".join(f"<{name}>{_text(value)}</{name}>" for name, value in items)


def _text(value: "str | int | bool | Iterable[Item]") -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        return escape(printable(str(value)))  # XML has no form for most control characters
    return _written(value)
