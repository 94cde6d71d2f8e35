"""Resources: what the web process looks at in the background, on the real store and the real database."""

from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest

from server.domain.downloads import issuing
from server.domain.operation.readiness import NotReady, require_ready
from server.domain.resources import Resources
from server.storage.embedded import free_port
from server.storage.outside import FAILED_PROBES_AT_MOST, OutsideFault
from tests.web.problems import require_problem
from tests.world import Clock, World, write_settings


def test_real_clocks_agree(world: World) -> None:
    """The store tells its time to the signer's key, which may do nothing but read; the database tells its own."""
    world.use.outside.look()
    issuing.issue(world.use, world.caller("cleared"), world.order())


def test_a_clock_that_is_off_the_store_s_issues_nothing(world: World) -> None:
    """Forward, too, where no entry would show it: 503, and not ready."""
    clock = Clock()
    clock.offset = timedelta(hours=2)
    with closing(Resources(world.settings, clock)) as use:
        use.outside.look()
        with pytest.raises(OutsideFault, match="run an NTP client"):
            issuing.issue(use, world.caller("cleared"), world.order())
        with pytest.raises(NotReady, match="run an NTP client"):
            require_ready(use)


def test_a_dead_store_is_a_503_as_settings_say(sqlite_world: World) -> None:
    """By default no URL is issued that cannot be fetched; with `store_must_answer = false` it is."""
    world = sqlite_world
    dead = f"http://127.0.0.1:{free_port()}"
    for must_answer in (True, False):
        settings = write_settings(
            world.template, world.folder, world.settings.database_url, s3_endpoint_url=dead,
            store_must_answer=must_answer,
        )  # fmt: skip
        with closing(Resources(settings, world.clock)) as use:
            for _ in range(FAILED_PROBES_AT_MOST + 1):
                use.outside.look()
            if must_answer:
                with pytest.raises(OutsideFault, match="the object store has not answered"):
                    issuing.issue(use, world.caller("cleared"), world.order())
            else:
                assert issuing.issue(use, world.caller("cleared"), world.order()).urls


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("POST", "/downloads", {"stage": "gpt-2/774M"}), ("GET", "/stages/gpt-2/774M/checkpoints/main", None)],
)
def test_one_day_back_is_a_503_and_no_refusal(world: World, method: str, path: str, body: Any) -> None:
    """A cleared partner is not told that it is not cleared, because our clock is wrong."""
    world.clock.advance(timedelta(days=-1))
    require_problem(world.api(method, path, json=body), 503, "log_unavailable")
    world.clock.offset = timedelta(0)
