"""The queue: what waits, for admins alone, and found without looking at all that was ever decided."""

from datetime import timedelta

import pytest

from server.domain.access import clearances
from server.domain.errors import NotPermitted
from server.domain.operation import queue
from tests.plans import plans
from tests.world import World

DAY = timedelta(days=1)


def test_only_admins_have_a_queue(sqlite_world: World) -> None:
    """Others decide nothing."""
    with sqlite_world.use.database.reading() as session:
        for name in ("publisher", "auditor", "cleared"):
            with pytest.raises(NotPermitted):
                queue.waiting(session, sqlite_world.person(name), sqlite_world.clock())


def test_what_ends_soon_is_shown_and_not_counted(sqlite_world: World) -> None:
    """Nobody must do anything about it: a queue of nothing else is empty, and its number is 0."""
    world = sqlite_world
    made = clearances.propose(
        world.use, world.admin, "cedar-systems", "gpt-2", "research", expires_at=world.clock() + 9 * DAY, purpose="x"
    )
    clearances.approve(world.use, world.admin2, made.id)
    with world.use.database.reading() as session:
        found = queue.waiting(session, world.admin, world.clock())
        assert ([one.id for one in found.ending.items], found.is_empty) == ([made.id], True)
        assert queue.size(session, world.admin, world.clock()) == 0
    shown = world.visit("admin").get("/admin/queue").text
    assert "Ending within 60 days (1)" in shown
    assert "Nothing to do" in shown


@pytest.mark.parametrize(
    ("table", "index"),
    [
        ("access_requests", "ix_access_requests_"),
        ("clearances", "ix_clearances_proposed ix_clearances_ending"),
        ("signatures", "ix_signatures_waiting"),
        ("alarms", "ix_alarms_open"),
    ],
)
def test_what_waits_is_found_among_all_that_was_decided(world: World, table: str, index: str) -> None:
    """On an index of its own: the page is as quick after years."""
    found = plans(world, table, lambda: world.visit("admin").get("/admin/queue"))
    assert world.kind == "postgresql" or all(any(name in plan for name in index.split()) for plan in found)
