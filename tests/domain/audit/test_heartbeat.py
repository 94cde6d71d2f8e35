"""Heartbeat: a log that stands still shows."""

from datetime import timedelta

from server.domain.audit import heartbeat
from tests.world import World


def test_a_heart_beats_once_an_interval_however_many_workers_there_are(world: World) -> None:
    """Within half an interval of the last beat nothing is appended; afterwards it is."""
    assert heartbeat.beat(world.use)
    assert not heartbeat.beat(world.use)
    world.clock.advance(timedelta(seconds=heartbeat.INTERVAL_SECONDS / 2 - 5))
    assert not heartbeat.beat(world.use)
    world.clock.advance(timedelta(seconds=5))
    assert heartbeat.beat(world.use)
    assert [set(record) for record in world.records("heartbeat")] == [{"version", "kind", "time"}] * 2


def test_a_clock_that_was_set_back_does_not_stop_the_heart(world: World) -> None:
    """After the clock was wrong by a day the beats go on, instead of waiting for a day."""
    world.clock.advance(timedelta(days=1))
    assert heartbeat.beat(world.use)
    world.clock.advance(-timedelta(days=1))
    assert heartbeat.beat(world.use)
    world.seal()
    (fault,) = world.faults()  # it shows, though
    assert "its time is more than a minute before" in fault.sentence
    world.tampered = True
