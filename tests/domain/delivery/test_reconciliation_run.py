"""A run: what it takes is one of seven kinds, whatever lies in the logs, and many small ones are no trouble."""

from pathlib import Path

from sqlalchemy import func, select

from server.domain.delivery import reconciliation_run
from server.domain.delivery.reconciliation_run import ReadObject, Run, Summary
from server.domain.downloads import issuing
from server.storage import keys
from server.storage.access_logs import Read, Tally
from tests.world import World


def read(world: World, **more: object) -> Read:
    at_ms = int(world.use.clock().timestamp() * 1000)
    found = Read(b"R1", at_ms, "GET", 200, 10, "checkpoints/k", "127.0.0.1", None, "", "weights", None, None)
    return found._replace(**more)  # type: ignore[arg-type]


def publisher(world: World) -> str:
    return keys.read_s3_credentials(world.settings.publisher_key_file).access_key_id


KINDS: list[tuple[dict[str, object], str]] = [
    ({"object_key": "anchors/1"}, "other"),
    ({"object_key": "checkpoints/doctor/0123"}, "other"),
    ({"bucket": "elsewhere"}, "other"),
    ({"bucket": None}, "unmatched"),
    ({"status": 403}, "other"),
    ({"status": 304}, "other"),
    ({"method": "HEAD"}, "other"),
    ({"method": "PUT"}, "other"),
    ({"method": "COPY"}, "unmatched"),
    ({}, "unmatched"),
    ({"at_ms": 5}, "late"),
    ({"object_key": "checkpoints/\0"}, "unmatched"),
    ({"download_id": "01991e0a-0000-7000-8000-0123456789ab"}, "unmatched"),
    ({"download_id": "' OR 1=1 --\0"}, "unmatched"),
]


def test_each_read_is_of_one_kind(world: World) -> None:
    """And only reads of our files that succeeded are held against the log."""
    for number, (more, kind) in enumerate(KINDS):
        run = Run(world.use, None)
        # From a network of its own each, or it would be the same alarm.
        run.take([read(world, request_key=f"R{number}".encode(), address=f"192.0.{number}.1", **more)])
        run.flush()
        found = {name: getattr(run.summary, name) for name in ("matched", "unmatched", "own", "other", "late")}
        assert {name for name, count in found.items() if count} == {kind}, more
        assert bool(run.summary.alarms) == (kind in {"unmatched", "late"}), more


def test_the_publisher_s_own_reads_raise_nothing(world: World) -> None:
    """Its key is known to this process, or named by whoever reads AWS' logs; with a download id it is nobody's own."""
    arn = "arn:aws:iam::123456789012:user/publisher"
    for own, by in ((None, publisher(world)), ([arn], arn)):
        run = Run(world.use, own)
        run.take([read(world, by=by), read(world, by=by, request_key=b"R2", method="COPY")])
        run.flush()
        assert (run.summary.own, run.summary.alarms) == (2, {})
    run = Run(world.use, [arn])
    run.take([read(world, by=publisher(world)), read(world, by=arn, download_id="x")])
    run.flush()
    assert (run.summary.own, run.summary.alarms) == (0, {"ghost_read": 2})


def test_without_the_publisher_s_key_nothing_is_taken_for_its_own(sqlite_world: World, tmp_path: Path) -> None:
    """A process that may not open the key raises more alarms, never fewer."""
    name = publisher(sqlite_world)
    sqlite_world.use.settings = sqlite_world.settings.model_copy(update={"publisher_key_file": tmp_path / "none"})
    run = Run(sqlite_world.use, None)
    run.take([read(sqlite_world, by=name), read(sqlite_world, by="", request_key=b"R2")])
    run.flush()
    assert (run.summary.own, run.summary.unmatched) == (0, 2)


def test_many_small_objects_are_remembered(world: World) -> None:
    """S3 writes them by the thousand: they are remembered some at a time, though none has a line that counts."""
    names = [f"s3://logs/{n:04}" for n in range(4500)]
    run = Run(world.use, None)
    for name in names:
        run.finish(name)
        assert len(run._finished) <= reconciliation_run.OBJECTS_AT_ONCE
    run.finish(names[-1])
    run.finish(None)
    run.close()
    assert run.known_objects([*names, "s3://logs/new"]) == set(names)
    assert run.summary.logs_known == len(names)
    with world.use.database.reading() as session:
        assert session.scalar(select(func.count()).select_from(ReadObject)) == len(names)


def test_lines_are_added_up_without_doubling() -> None:
    """What one log told is added to the others', examples within bounds."""
    run_summary = Summary()
    for _ in range(3):
        run_summary.add(Summary(lines=5, bytes_sent=2**53).as_record() | {"alarms": {"ghost_read": 1}})
    assert (run_summary.lines, run_summary.alarms) == (15, {"ghost_read": 3})
    assert run_summary.as_record()["bytes_sent"] == 2**53 - 1


def test_examples_are_few_and_stay_out_of_the_log(sqlite_world: World) -> None:
    """They are for the terminal: even redacted, what a client wrote has no place in an entry."""
    run = Run(sqlite_world.use, None)
    for n in range(50):
        tally = Tally(lines=5)
        for _ in range(5):
            tally.refuse(f"foreign words {n}".encode())
        run.add(tally)
    run.close()
    assert (run.summary.unreadable, len(run.summary.examples)) == (250, reconciliation_run.EXAMPLES_AT_MOST)
    assert b"foreign words" not in sqlite_world.entries("reconciliation")[0].record


def test_a_batch_of_many_groups_does_not_hold_the_database(sqlite_world: World) -> None:
    """Lines are counted by group, and each group's row is written once."""
    made = [issuing.issue(sqlite_world.use, sqlite_world.caller("cleared"), sqlite_world.order()) for _ in range(20)]
    run = Run(sqlite_world.use, None)
    run.take([
        read(sqlite_world, request_key=f"{n}".encode(), object_key=file.stored.key, download_id=each.id)
        for n, (each, file) in enumerate((each, file) for each in made for file in each.files for _ in range(3))
    ])  # fmt: skip
    run.flush()
    assert run.summary.matched == 3 * sum(len(each.files) for each in made)
    assert run.summary.duplicates == 0
