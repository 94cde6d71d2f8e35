"""Health: each part says how it is, since when, and what to do; and the metrics say the same in figures."""

import contextlib
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from server.domain.audit import heartbeat, logs
from server.domain.audit.mirror import MirroredLog
from server.domain.mail import mails
from server.domain.meters import ProcessMeters
from server.domain.operation import health
from server.domain.operation.health import Health, Look
from server.domain.operation.metrics import InstanceMetrics
from server.domain.resources import Resources
from server.log import sealing
from server.log.entries import Log
from server.storage.outside import Answer, Outside, OutsideError
from tests.world import World, cases


def samples(world: World, look: Look | None, folder: Path) -> dict[str, float]:
    """Every sample of the metrics, by its name and labels as Prometheus writes them."""
    metrics, registry = InstanceMetrics(folder, world.use.database.dialect), CollectorRegistry(auto_describe=False)
    metrics.look = look
    registry.register(metrics)
    return {
        sample.name + "".join(f"[{value}]" for _, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
    }


@pytest.fixture
def running(world: World) -> Iterator[World]:
    """An instance whose worker has just done its work, and whose outside was asked."""
    heartbeat.beat(world.use)
    world.seal()
    world.use.settings = world.settings.model_copy(update={"anchor_bucket": "anchors", "log_mirror": "mirror"})
    with world.use.database.transaction() as session:
        log, size = logs.current(session), len(world.entries())
        logs.note_anchored(session, log.id, 1, world.clock())
        session.add(MirroredLog(log_id=log.id, size=size - 1, mirrored_at=world.clock()))
    world.use.outside.look()
    yield world
    world.use.settings = world.settings


def test_a_running_instance_is_well(running: World, tmp_path: Path) -> None:
    """Every part is as it should be, and every figure is there."""
    look = Health(running.use).look()
    assert [(part.name, part.says) for part in look.parts if not part.ok] == []
    found = samples(running, look, tmp_path)
    assert found["weightgate_database_up"] == found["weightgate_ready"] == found["weightgate_store_up"] == 1
    assert found["weightgate_log_stopped"] == found["weightgate_log_unsealed_entries"] == 0
    assert found["weightgate_log_sealed_entries"] == len(running.entries())
    assert abs(found["weightgate_clock_skew_seconds[store]"]) < 5
    assert found["weightgate_disk_free_bytes[data]"] > 0
    now = running.clock().timestamp()
    assert found["weightgate_log_mirror_missing_entries"] == 1
    for moment in ("look", "log_anchor", "log_mirror", "worker_heartbeat"):
        assert abs(now - found[f"weightgate_{moment}_timestamp_seconds"]) < 60


def _unsealed(world: World) -> None:
    world.api("POST", "/downloads", "cleared", json={"stage": "gpt-2/774M"})
    world.clock.offset += timedelta(seconds=31)  # `advance` would seal


def _stopped(world: World) -> None:
    log = world.entries()[0].log_id
    with world.use.database.reading() as session:
        origin = session.get_one(Log, log).origin
    sealing.stop(world.use.database, origin, "row 7 was changed", world.clock())
    world.tampered = True


def _silent(world: World) -> None:
    world.clock.advance(timedelta(minutes=4))


def _unanchored(world: World) -> None:
    world.clock.advance(timedelta(minutes=11))


BROKEN: dict[str, tuple[Callable[[World], None], set[str], str, float]] = {
    "unsealed": (_unsealed, {"log", "issuing"}, "weightgate_log_unsealed_entries", 1),
    "stopped": (_stopped, {"log", "issuing"}, "weightgate_log_stopped", 1),
    "worker away": (_silent, {"worker"}, "weightgate_part_ok[worker]", 0),
    "not mirrored": (_unanchored, {"worker", "anchors", "mirror"}, "weightgate_part_ok[mirror]", 0),
    "not anchored": (_unanchored, {"worker", "anchors", "mirror"}, "weightgate_part_ok[anchors]", 0),
}


@cases("what", BROKEN)
def test_a_broken_part_says_so_and_what_to_do(running: World, tmp_path: Path, what: str) -> None:
    """That part and those that need it, with a section of the runbooks; the figure shows it, too."""
    breaks, parts, figure, value = BROKEN[what]
    running.use.outside.close()
    breaks(running)
    look = Health(running.use).look()
    found = {part.name: part for part in look.parts if not part.ok}
    assert set(found) - {"clock"} == parts
    assert all("deploy/runbooks.md#" in part.what_to_do for part in found.values())
    assert samples(running, look, tmp_path)[figure] == value


def test_since_is_when_a_part_was_first_seen_so(running: World) -> None:
    """It stays while the state does, and begins anew with the next one."""
    whole = Health(running.use)
    first = whole.look().part("worker").since
    running.clock.advance(timedelta(minutes=4))
    ended = whole.look().part("worker")
    running.clock.advance(timedelta(minutes=1))
    assert first < ended.since == whole.look().part("worker").since
    heartbeat.beat(running.use)
    again = whole.look().part("worker")
    assert (again.ok, again.since > ended.since) == (True, True)
    running.seal()


def test_without_a_database_its_figures_are_left_out(sqlite_world: World, tmp_path: Path) -> None:
    """Not shown as 0: a database that is away has not sealed everything. What does not need it is there."""
    away = sqlite_world.settings.model_copy(update={"database_url": "postgresql+psycopg://app:hush@127.0.0.1:1/gone"})
    use = Resources(away)
    look = Health(use).look()
    found = samples(sqlite_world, look, tmp_path)
    use.close()
    assert (found["weightgate_database_up"], found["weightgate_ready"]) == (0, 0)
    assert not [
        name for name in found if name.startswith(("weightgate_log_", "weightgate_outbox", "weightgate_worker"))
    ]
    assert found["weightgate_disk_free_bytes[data]"] > 0
    assert {part.name for part in look.parts if not part.ok} == {
        "issuing", "database", "log", "anchors", "worker", "mail",
    }  # fmt: skip
    assert "hush" not in str(look)
    assert look.part("worker").what_to_do == look.part("database").what_to_do  # to start the worker would not help


def test_what_was_seen_too_long_ago_is_left_out(sqlite_world: World, tmp_path: Path) -> None:
    """Then only what the processes count is there, and that the database is not known to be up."""
    with contextlib.closing(ProcessMeters(tmp_path, "web")):
        found = samples(sqlite_world, None, tmp_path)
    assert (found["weightgate_database_up"], found["weightgate_processes[web]"]) == (0, 1)
    assert "weightgate_look_timestamp_seconds" not in found
    assert found["weightgate_process_resident_memory_bytes[web-1]"] > 1_000_000


def test_little_room_is_told_of_before_there_is_none(running: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk with less than 1 GiB left is no reason to stop yet, and one to make room."""
    monkeypatch.setattr(health, "LITTLE_ROOM_BYTES", 1 << 60)
    look = Health(running.use).look()
    assert [part.name for part in look.parts if not part.ok] == ["disk"]


def test_emails_that_wait_for_long_are_told_of(running: World) -> None:
    """Where there is a mail server; an hour is more than one that is started again needs."""
    set_up = {"smtp_url": "smtp://127.0.0.1:1", "mail_from": "weights@lab.example", "development_mails": False}
    running.use.settings = running.settings.model_copy(update=set_up)
    with running.use.database.transaction() as session:
        mails.queue(session, running.use, "test", "ada@lab.example", "A test", "Text", running.clock())
    assert Health(running.use).look().part("mail").ok
    running.clock.advance(timedelta(minutes=61))
    part = Health(running.use).look().part("mail")
    assert (part.ok, "emails wait, the oldest since" in part.says) == (False, True)


def probes(ahead: timedelta, answers: bool, world: World) -> Outside:
    def probe() -> object:
        if not answers:
            raise OutsideError
        return world.clock() + ahead

    return Outside({"object store": probe}, world.clock, frozenset())  # type: ignore[dict-item]


@pytest.fixture
def outside(running: World) -> Callable[..., None]:
    """Put another outside world around the instance."""

    def replaced(ahead: timedelta = timedelta(0), answers: bool = True) -> None:
        running.use.outside.close()
        running.use.__dict__["outside"] = probes(ahead, answers, running)
        running.use.outside.look()

    return replaced


@cases("seconds", [0, 30, -30])
def test_a_clock_that_differs_is_told_of_in_its_sign(
    running: World, outside: Callable[..., None], tmp_path: Path, seconds: int
) -> None:
    """Ahead is positive. A Date names a second, so less than that is no difference."""
    outside(timedelta(seconds=seconds))
    look = Health(running.use).look()
    skew = samples(running, look, tmp_path)["weightgate_clock_skew_seconds[store]"]
    assert skew == pytest.approx(seconds, abs=1.5)
    assert look.part("clock").ok == (seconds == 0)


def test_a_store_that_does_not_answer_is_told_of(running: World, outside: Callable[..., None], tmp_path: Path) -> None:
    """At its first silence, which does not stop issuing yet."""
    outside(answers=False)
    look = Health(running.use).look()
    assert look.outside == {"object store": Answer(False, None)}
    assert [part.name for part in look.parts if not part.ok] == ["store"]
    assert samples(running, look, tmp_path)["weightgate_store_up"] == 0
