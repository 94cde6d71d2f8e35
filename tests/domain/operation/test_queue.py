"""The queue: what waits, for admins alone, and found without looking at all that was ever decided."""

import pytest

from server.domain.errors import NotPermitted
from server.domain.operation import queue
from tests.plans import plans
from tests.world import World


def test_only_admins_have_a_queue(sqlite_world: World) -> None:
    """Others decide nothing."""
    with sqlite_world.use.database.reading() as session:
        for name in ("publisher", "auditor", "cleared"):
            with pytest.raises(NotPermitted):
                queue.waiting(session, sqlite_world.person(name), sqlite_world.clock())


@pytest.mark.parametrize(
    ("table", "index"),
    [
        ("access_requests", "ix_access_requests_"),
        ("clearances", "ix_clearances_proposed"),
        ("signatures", "ix_signatures_waiting"),
        ("alarms", "ix_alarms_open"),
    ],
)
def test_what_waits_is_found_among_all_that_was_decided(world: World, table: str, index: str) -> None:
    """On an index of its own: the page is as quick after years."""
    found = plans(world, table, lambda: world.visit("admin").get("/admin/queue"))
    assert world.kind == "postgresql" or all(index in plan for plan in found)
