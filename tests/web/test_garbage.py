"""A web process collects no garbage among what it has loaded: that stops all of its threads for 100 ms and more."""

from tests.e2e.serving import served
from tests.world import World


def test_what_is_loaded_is_left_out(sqlite_world: World) -> None:
    with served(sqlite_world, "tests.web.frozen_app:app", logger_level="warning") as web:
        _, (left_out, looked_at) = web.ask("GET", "/", None)
    assert left_out > 20 * looked_at
