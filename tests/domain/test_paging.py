"""Paging: every row once, in order, and no page that costs more than another."""

from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from server.domain.paging import Slice, every, page


class Base(DeclarativeBase):
    """Tables of this test."""


class Thing(Base):
    """A row to page through."""

    __tablename__ = "things"
    id: Mapped[int] = mapped_column(primary_key=True)


@pytest.fixture
def session() -> Iterator[Session]:
    """Seven things; their ids have gaps."""
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    with Session(engine) as opened:
        opened.add_all(Thing(id=number) for number in (1, 2, 4, 8, 16, 32, 64))
        opened.flush()
        yield opened
    engine.dispose()


@pytest.mark.parametrize("limit", [1, 2, 3, 6, 7, 8, 100])
@pytest.mark.parametrize("newest_first", [False, True])
def test_the_pages_hold_every_row_once_in_order(session: Session, limit: int, newest_first: bool) -> None:
    """No page is longer than asked, only the last has no next, and an exact fit has no empty page after it."""
    seen: list[int] = []
    after, pages = None, 0
    while True:
        found = page(session, select(Thing), Thing.id, Slice(limit, after), newest_first=newest_first)
        seen += [thing.id for thing in found.items]
        pages += 1
        assert 0 < len(found.items) <= limit
        if (after := found.next_after) is None:
            break
    assert seen == sorted([1, 2, 4, 8, 16, 32, 64], reverse=newest_first)
    assert pages == -(-7 // limit)


@pytest.mark.parametrize(("newest_first", "expected"), [(False, [8, 16]), (True, [2, 1])])
def test_a_page_begins_after_a_key_that_need_not_be_there(
    session: Session, newest_first: bool, expected: list[int]
) -> None:
    """A row that was deleted between two pages costs nothing."""
    after = 4
    session.delete(session.get_one(Thing, 4))
    found = page(session, select(Thing), Thing.id, Slice(2, after), newest_first=newest_first)
    assert [thing.id for thing in found.items] == expected


def test_rows_of_columns_are_paged_alike(session: Session) -> None:
    """`scalars=False` gives rows; the key stands in them as `id`."""
    found = page(session, select(Thing.id), Thing.id, Slice(2), scalars=False)
    assert ([row.id for row in found.items], found.next_after) == ([1, 2], 2)


def test_an_empty_list_has_one_empty_page(session: Session) -> None:
    """Nothing is an answer too."""
    found = page(session, select(Thing).where(Thing.id > 64), Thing.id, Slice(5))
    assert (list(found.items), found.next_after) == ([], None)


@pytest.mark.parametrize("at_once", [1, 2, 6, 7, 8])
def test_a_list_is_read_to_its_end(session: Session, at_once: int) -> None:
    """However many are read at a time, each row comes once and none is missing."""
    found = every(lambda part: page(session, select(Thing), Thing.id, part), at_once=at_once)
    assert [thing.id for thing in found] == [1, 2, 4, 8, 16, 32, 64]
