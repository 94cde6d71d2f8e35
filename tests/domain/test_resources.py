"""Resources: one instance's parts, each with its role and key, and what is looked at in the background."""

from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest

from server.domain.downloads import issuing
from server.domain.operation.readiness import NotReady, require_ready
from server.domain.resources import Resources
from server.log.notes import Signer
from server.storage.embedded import free_port
from server.storage.keys import KeyFileError
from server.storage.outside import FAILED_PROBES_AT_MOST, OutsideFault
from tests.web.problems import require_problem
from tests.world import Clock, World, write_settings

SEALER, OWNER = "sqlite:////sealer.sqlite3", "sqlite:////owner.sqlite3"


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


def test_each_role_has_its_database(sqlite_world: World) -> None:
    """Where the settings name one; else they share. The clock goes along."""
    settings = sqlite_world.settings
    for use in (sqlite_world.use.as_sealer(), sqlite_world.use.as_owner()):
        assert use.settings.database_url == settings.database_url
    update = {"sealer_database_url": SEALER, "migration_database_url": OWNER}
    use = Resources(settings.model_copy(update=update), sqlite_world.clock)
    assert use.as_sealer().settings.database_url == SEALER
    assert use.as_owner().settings.database_url == OWNER
    assert use.as_owner().clock is sqlite_world.clock


def test_a_key_signs_for_its_own_log_only(sqlite_world: World) -> None:
    """A key file that is not the key which the log names is refused, even if its name is the same."""
    other = Signer.from_seed("localhost/downloads/2026", bytes(32))
    for signer in (sqlite_world.use.log_signer, sqlite_world.use.receipt_signer):
        with pytest.raises(KeyFileError, match="is not the key of localhost/downloads/2026"):
            signer(str(other.key))


def test_what_was_closed_opens_anew(sqlite_world: World) -> None:
    """A close lets go of the connections; the next use makes new ones."""
    before = sqlite_world.use.database
    sqlite_world.use.close()
    assert sqlite_world.use.database is not before
    assert sqlite_world.entries()
