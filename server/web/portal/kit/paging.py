"""Paging: which part of a list an address asks for, and the address of the part after it."""

import re
from typing import Any

from flask import request

from server.domain.errors import InvalidRequest
from server.domain.paging import Page, Slice

ROWS = 50
_CURSOR = re.compile(r"[0-9]{1,18}")


def part() -> Slice:
    """The part that the parameter `cursor` names; from the start without it."""
    cursor = request.args.get("cursor")
    if cursor is None:
        return Slice(ROWS)
    if not _CURSOR.fullmatch(cursor):
        raise InvalidRequest("The URL contains an invalid list position.",
                             next_step="Start again from the beginning of the list.")  # fmt: skip
    return Slice(ROWS, int(cursor))


def next_cursor(page: Page[Any]) -> str | None:
    return None if page.next_after is None else str(page.next_after)
