"""The log's outlets, as `doctor` sees them: each is up to date, or the line says what is missing and what to do."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from server.domain.audit import logs, mirror
from server.domain.audit.month import Month
from server.domain.audit.months import Keeper
from server.domain.operation import log_outlets
from server.domain.operation.door_probes import Wrong
from tests.archived_months import archived_download
from tests.own_keys import give_own_keys
from tests.own_store import own_bucket
from tests.world import World


@pytest.fixture
def outlets(sqlite_world: World) -> Iterator[World]:
    """A world with a mirror and with months."""
    key = str(sqlite_world.settings.publisher_key_file)
    with own_bucket(sqlite_world) as first, own_bucket(sqlite_world) as second:
        give_own_keys(
            sqlite_world, log_mirror=first, log_mirror_key_file=key, log_months=second, log_months_key_file=key
        )
        yield sqlite_world


def test_without_outlets_there_is_nothing_to_check(sqlite_world: World) -> None:
    """Both are off by default."""
    assert log_outlets.mirrored(sqlite_world.use).startswith("none")
    assert log_outlets.months_are_kept(sqlite_world.use).startswith("none")


def test_a_mirror_that_is_behind_is_told_of(outlets: World) -> None:
    """Not one that is a moment late; one that has another head is a fault immediately."""
    use = outlets.use
    with pytest.raises(Wrong, match=r"has 0 of \d+ entries: start the worker"):
        log_outlets.mirrored(use)
    mirror.mirror(use)
    size = len(outlets.entries())
    assert log_outlets.mirrored(use).endswith(f"has {size} of {size} entries")
    assert use.log_mirror is not None
    with use.database.reading() as session:
        name = logs.current(session).name
    use.log_mirror.replace(f"{name}/checkpoint", b"nonsense")
    with pytest.raises(Wrong, match="is not its own"):
        log_outlets.mirrored(use)


def test_a_month_that_is_missing_is_told_of(outlets: World) -> None:
    """Once the worker had time to write it."""
    month = Month.of(outlets.entries()[-1].appended_at)
    outlets.clock.advance(month.until + timedelta(hours=2) - outlets.clock())
    outlets.clock.advance(timedelta(hours=2))
    with pytest.raises(Wrong, match=f"lacks .*{month}: start the worker"):
        log_outlets.months_are_kept(outlets.use)
    Keeper(outlets.use).keep()
    assert log_outlets.months_are_kept(outlets.use).startswith("every finished month")


def test_an_archived_month_that_is_missing_is_told_of_otherwise(outlets: World) -> None:
    """No worker can write it again."""
    _, done = archived_download(outlets)
    assert log_outlets.months_are_kept(outlets.use).startswith("every finished month")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(outlets.use.__dict__, "log_months", None)
        with pytest.raises(Wrong, match=f"of {done.month} were archived, and the settings have no log_months"):
            log_outlets.months_are_kept(outlets.use)
    assert outlets.use.log_months is not None
    outlets.use.log_months.delete(done.file)
    with pytest.raises(Wrong, match=f"lacks {done.file}, and no other place has the records"):
        log_outlets.months_are_kept(outlets.use)
