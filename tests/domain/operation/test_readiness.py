"""Readiness: it says no whenever a download could not be issued, and leaves nothing behind."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import make_url

from server.domain.operation import readiness
from server.domain.operation.readiness import NotReady, Readiness, require_ready
from server.domain.resources import Resources
from tests.parts import missing
from tests.postgres import PostgreSQL
from tests.world import World, copied_world, write_settings


def test_a_trial_leaves_nothing(world: World) -> None:
    """The entry that is tried is undone."""
    before = len(world.entries())
    require_ready(world.use)
    assert len(world.entries()) == before


def test_a_database_that_can_only_be_read_is_not_ready(
    request: pytest.FixtureRequest, tmp_path: Path, postgres: PostgreSQL
) -> None:
    """A replica answers every question, and takes no entry; no more does a role without the right."""
    for world in copied_world(request, tmp_path, "postgresql"):
        name = make_url(world.settings.database_url).database
        require_ready(world.use)
        postgres.run(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        with closing(Resources(world.settings)) as use:
            for _ in range(2):  # also on a connection that has been used for reading
                with pytest.raises(NotReady, match="it is read-only"):
                    require_ready(use)
            assert not Readiness(use).is_ready()
        postgres.run(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')


def test_a_log_that_is_stopped_is_not_ready(world: World) -> None:
    """Whoever balances the load sends nobody to a server that would answer 503."""
    with world.use.database.transaction() as session:
        session.connection().exec_driver_sql("UPDATE logs SET stop_reason = 'it was changed'")
    with pytest.raises(NotReady, match="the log is stopped: it was changed"):
        require_ready(world.use)
    with world.use.database.transaction() as session:
        session.connection().exec_driver_sql("UPDATE logs SET stop_reason = NULL")


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of its own with less room than is wanted."""
    if os.getuid() != 0:
        missing("a small file system, which only root can mount")
    folder = Path(tempfile.mkdtemp(prefix="wg-disk-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m,mode=755", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)
        folder.rmdir()


def test_a_full_or_read_only_disk_is_not_ready(sqlite_world: World, small_disk: Path) -> None:
    """SQLite would notice only at the commit, or at its next start."""
    path = small_disk / "weightgate.sqlite3"
    path.write_bytes(Path(str(make_url(sqlite_world.settings.database_url).database)).read_bytes())
    settings = write_settings(sqlite_world.template, sqlite_world.folder, f"sqlite:///{path}")
    with closing(Resources(settings)) as use:
        require_ready(use)
        ballast = small_disk / "ballast"
        ballast.write_bytes(bytes((64 << 20) - readiness.FREE_BYTES_AT_LEAST - path.stat().st_size))
        with pytest.raises(NotReady, match="MiB left: make room"):
            require_ready(use)
        ballast.unlink()
        require_ready(use)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with closing(Resources(settings)) as use, pytest.raises(NotReady, match="is not writable"):
        require_ready(use)


def test_what_was_found_is_kept_for_a_second(sqlite_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks a thousand times a second costs one write a second."""
    tried: list[Resources] = []
    monkeypatch.setattr(readiness, "require_ready", tried.append)
    now = [100.0]
    monkeypatch.setattr("server.domain.operation.readiness.time.monotonic", lambda: now[0])
    ready = Readiness(sqlite_world.use)
    assert [ready.is_ready() for _ in range(5)] == [True] * 5
    assert len(tried) == 1
    now[0] += 1
    assert ready.is_ready()
    assert len(tried) == 2
