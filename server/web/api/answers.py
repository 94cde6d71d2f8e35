"""Answers: the forms that several routes share: lists, moments, slices of lists."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, TypeVar

import orjson
from flask import Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from server import dates
from server.domain.paging import Page, Slice

Item = TypeVar("Item")
LIMIT_DEFAULT = 50
LIMIT_AT_MOST = 200


def _digits(value: object) -> object:
    if isinstance(value, str) and not (value.isascii() and value.isdigit()):
        raise ValueError("use only digits")  # int() would also take 1_0, +1 and spaces
    return value


class Body(BaseModel):
    """A body that is sent to us: unknown fields and other types than the declared ones are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Answer(BaseModel):
    """A body that we send."""

    model_config = ConfigDict(extra="forbid")


class ListQuery(BaseModel):
    """Which part of a list."""

    model_config = ConfigDict(extra="forbid")

    # The bounds stand before the validator: behind it, the description would not tell them.
    limit: Annotated[
        int, Field(ge=1, le=LIMIT_AT_MOST, description="The maximum number of items."), BeforeValidator(_digits)
    ] = LIMIT_DEFAULT
    cursor: Annotated[
        str | None,
        Field(
            pattern=r"^[0-9]{1,18}$",  # fits every database's largest number
            description="The `next_cursor` of the previous response. Omit it to start at the beginning.",
        ),
    ] = None

    def as_slice(self) -> Slice:
        return Slice(self.limit, None if self.cursor is None else int(self.cursor))


class Listing(Answer):
    """One part of a list. Each route declares its own items."""

    next_cursor: Annotated[
        str | None, Field(description="Send this as `cursor` to get the next page; null at the end.")
    ]


def listing(page: Page[Item], render: Callable[[Item], dict[str, Any]]) -> Response:
    cursor = None if page.next_after is None else str(page.next_after)
    return answer({"items": [render(item) for item in page.items], "next_cursor": cursor})


def answer(body: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(body), status=status, mimetype="application/json")


def moment(at: datetime | None) -> str | None:
    """RFC 3339 in UTC, to the second."""
    return None if at is None else dates.rfc3339(at)
