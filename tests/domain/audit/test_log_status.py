"""The log's status: what waits, what was found, and why nothing can be issued."""

import shutil
from datetime import timedelta
from pathlib import Path

from server.domain.audit import heartbeat, log_status, sealer
from server.storage.embedded import EmbeddedStore
from tests.own_keys import anchored_instance, seal_and_anchor
from tests.world import Clock, World


def test_what_waits_too_long_is_a_problem(world: World) -> None:
    """A young tail is fine; after half a minute nothing is issued, and the status says since when."""
    world.seal()
    assert log_status.status(world.use).oldest_unsealed_at is None
    heartbeat.beat(world.use)
    beat = world.entries()[-1].appended_at
    world.clock.offset += timedelta(seconds=20)
    found = log_status.status(world.use)
    assert (found.problems, found.oldest_unsealed_at, found.oldest_unsealed_seconds) == ([], beat, 20)
    world.clock.offset += timedelta(seconds=20)
    found = log_status.status(world.use)
    assert found.oldest_unsealed_seconds == 40
    assert "has not been sealed since" in found.problems[0]
    world.seal()
    found = log_status.status(world.use)
    assert (found.problems, found.size) == ([], len(world.entries()))
    assert found.alarms == {}
    assert (found.anchors_are_kept, found.anchored_size, found.reconciled_at) == (False, None, None)


def test_the_newest_anchor_is_told(tmp_path: Path, embedded_store: EmbeddedStore) -> None:
    """Its size while the log agrees with it; a problem when an older database is used, or no store answers."""
    with anchored_instance(tmp_path / "own", embedded_store, Clock()) as use:
        database = Path(use.settings.database_url.removeprefix("sqlite:///"))
        assert (log_status.status(use).anchored_size, log_status.status(use).anchors_are_kept) == (1, True)
        use.close()
        shutil.copyfile(database, tmp_path / "backup")
        heartbeat.beat(use)
        seal_and_anchor(use)
        heartbeat.beat(use)
        sealer.seal(use)
        assert (log_status.status(use).anchored_size, log_status.status(use).problems) == (2, [])
        use.close()
        for suffix in ("", "-wal", "-shm"):
            database.with_name(database.name + suffix).unlink(missing_ok=True)
        shutil.copyfile(tmp_path / "backup", database)
        found = log_status.status(use)
        assert found.problems == ["the log has 1 entries, but 2 were anchored: an older backup was restored"]
        silent = use.settings.model_copy(update={"s3_endpoint_url": "http://127.0.0.1:1"})
        elsewhere = type(use)(silent, use.clock)
        assert "object store" in log_status.status(elsewhere).problems[0]
        elsewhere.close()
