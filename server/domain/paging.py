"""Paging: lists are cut by the last key seen, so a page costs the same however far down it lies."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy.orm import Session


class Keyed(Protocol):
    """A row that has the list's key as `id`."""

    @property
    def id(self) -> int: ...


Item = TypeVar("Item")
KeyedItem = TypeVar("KeyedItem", bound=Keyed)


@dataclass(frozen=True, slots=True)
class Slice:
    """Which part of a list: at most `limit` items, after the key `after` (None: from the start)."""

    limit: int
    after: int | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """Items, and the key to ask for more with; None when there are no more."""

    items: Sequence[Item]
    next_after: int | None


def every(read: Callable[[Slice], Page[Item]], at_once: int = 1000) -> list[Item]:
    """Return a list to its end, read `at_once` items at a time: nothing is missing from it silently."""
    part: Slice | None = Slice(at_once)
    found: list[Item] = []
    while part is not None:
        more = read(part)
        found += more.items
        part = None if more.next_after is None else Slice(at_once, more.next_after)
    return found


def page(
    session: Session, query: Any, key: Any, part: Slice, *, newest_first: bool = False, scalars: bool = True
) -> Page[Any]:
    """Run a query for one slice. key: the unique integer column that orders the list; the rows must have it as `id`."""
    if part.after is not None:
        query = query.where(key < part.after if newest_first else key > part.after)
    query = query.order_by(key.desc() if newest_first else key).limit(part.limit + 1)
    result = session.execute(query)
    return cut(list(result.scalars() if scalars else result), part)


def cut(rows: Sequence[KeyedItem], part: Slice) -> Page[KeyedItem]:
    """The slice that was asked for, from one row more than that."""
    more = len(rows) > part.limit
    return Page(rows[: part.limit], rows[part.limit - 1].id if more else None)
