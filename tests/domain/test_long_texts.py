"""Long texts: kept whole and in their own lines up to one limit; what is longer is refused, never cut."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Text

from server.domain import long_texts
from server.domain.access import access_requests, clearances
from server.domain.errors import InvalidRequest
from server.domain.release import holds
from server.domain.schema import METADATA
from tests.world import World

LONG = "first line\n\n  second, indented\n" + "x" * 9_960
DAY = timedelta(days=1)
WRITTEN: dict[str, Callable[[World, str], Any]] = {
    "purpose of a request": lambda world, text: access_requests.create(
        world.use, world.person("uncleared"), "gpt-2", "research", purpose=text, wanted_until=world.clock() + DAY
    ),
    "purpose of a clearance": lambda world, text: clearances.propose(
        world.use, world.admin, "birch-university", "gpt-2", "research", expires_at=world.clock() + DAY, purpose=text
    ),
    "reason of a hold": lambda world, text: holds.place(world.use, world.admin, "gpt-2/774M", text),
    "reason of a suspension": lambda world, text: holds.place(
        world.use, world.admin, "organization:birch-university", text
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", WRITTEN)
def test_what_is_long_is_kept_whole(world: World, what: str) -> None:
    """Ten thousand characters, with their line breaks, in the log's own record."""
    WRITTEN[what](world, LONG)
    assert LONG in [value for record in world.records(world.entries()[-1].kind) for value in record.values()]


@pytest.mark.parametrize("what", WRITTEN)
def test_what_is_too_long_is_refused(sqlite_world: World, what: str) -> None:
    """Nothing of it is kept, and the sentence says how long it may be."""
    before = len(sqlite_world.entries())
    with pytest.raises(InvalidRequest, match="10000 characters or fewer"):
        WRITTEN[what](sqlite_world, "x" * 10_001)
    assert len(sqlite_world.entries()) == before


def test_a_line_break_is_one_character() -> None:
    """Browsers send two, and count one."""
    assert long_texts.require("a\r\nb\rc", "a reason") == "a\nb\nc"
    assert long_texts.require("\r\n" + "\r\n".join("x" * 5000), "a reason").count("\n") == 4999


def test_no_column_is_shorter_than_what_may_be_written() -> None:
    """The limit is the code's alone."""
    reasons = {"purpose", "declined_because", "hold_reason", "suspension_reason", "resolution"}
    columns = [column for table in METADATA.tables.values() for column in table.columns if column.name in reasons]
    assert len(columns) == 9
    assert all(isinstance(column.type, Text) for column in columns)
