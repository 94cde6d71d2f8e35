"""Archives: `log verify` reads archived records back and judges them, and says what was not read or what is wrong."""

import hashlib
from collections.abc import Callable, Iterator
from datetime import timedelta
from io import BufferedReader
from pathlib import Path

import orjson
import pytest
from sqlalchemy import select

from server.domain.access import clearances
from server.domain.audit import archives, logs, sealer, verifying
from server.domain.audit.archives import InBucket, InFolder
from server.domain.audit.archiving import Archived
from server.domain.audit.month import Month
from server.domain.downloads.issuing import Download
from server.log import sealing
from server.log.archived import month_of
from server.log.entries import Log
from server.storage.log_bucket import LogBucket
from tests import own_keys
from tests.archived_months import (
    archive,
    archived_download,
    copied,
    entry_of,
    forged,
    grow_old,
    issue,
    months_of,
    run,
    verified,
)
from tests.world import World

TAKEN_AWAY = "its record was taken away, and no entry archives its month"
OTHER_DOWNLOADS = "the downloads of that month are not those that were archived"
UNKNOWN = "it names no clearance that the log knows"


@pytest.fixture
def bucket(sqlite_world: World) -> Iterator[LogBucket]:
    with months_of(sqlite_world) as found:
        yield found


def named(world: World, download: Download) -> str:
    return world.name_of(entry_of(world, download).id)


def test_what_was_not_read_is_said(sqlite_world: World, bucket: LogBucket, tmp_path: Path) -> None:
    """How many of which month, and where they are; with a copy, or from the bucket, nothing is left to say."""
    world = sqlite_world
    _, done = archived_download(world)
    faults, notes = verified(world)
    assert faults == {}
    (note,) = notes
    assert note.startswith(
        f"the record of 1 download of {done.month} was not read, and the columns of its row were not checked. It was "
        f"archived in {done.file} on "
    )
    assert verified(world, InFolder(copied(bucket, tmp_path / "copy"))) == ({}, [])
    assert verified(world, InBucket(bucket)) == ({}, [])


def test_archived_downloads_are_judged_as_before(world: World) -> None:
    """On both databases: one that nothing allowed is a fault again, once its record is read."""
    with months_of(world) as bucket:
        record = orjson.loads(issue(world).entry.record) | {"clearance": 999, "download": "0" * 36}
        planted = world.plant("download", record, "aurora-institute")
        world.tampered = True
        archive(world, grow_old(world))
        assert verified(world)[0] == {}
        assert verified(world, InBucket(bucket)) == ({world.name_of(planted): UNKNOWN}, [])


def change_the_file(bucket: LogBucket, path: Path, done: Archived) -> None:
    content = bytearray((path / done.file).read_bytes())
    content[len(content) // 2] ^= 1
    (path / done.file).write_bytes(content)


def lose_the_file(bucket: LogBucket, path: Path, done: Archived) -> None:
    (path / done.file).unlink()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (change_the_file, "{} is not the file that was archived"),
        (lose_the_file, "its file {} cannot be read"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_once(
    sqlite_world: World, bucket: LogBucket, tmp_path: Path, change: Callable[..., None], sentence: str
) -> None:
    """A fault, whatever else is whole; and how much was not read for it."""
    issue(sqlite_world)
    _, done = archived_download(sqlite_world)
    copy = copied(bucket, tmp_path / "copy")
    change(bucket, copy, done)
    faults, notes = verified(sqlite_world, InFolder(copy))
    assert faults == {f"archive of {done.month}": sentence.format(done.file)}
    assert f"of {done.emptied} downloads" in notes[0]
    bucket.delete(f"{bucket.folder}{done.file}")
    assert set(verified(sqlite_world, InBucket(bucket))[0]) == {f"archive of {done.month}"}


def test_what_no_archive_covers_is_named(sqlite_world: World, bucket: LogBucket) -> None:
    """A row emptied in another month, one of a kind that stays, one whose salt is gone as well, and one of before."""
    world = sqlite_world
    old, done = archived_download(world)
    young = world.plant("download", orjson.loads(old.entry.record) | {"download": "0" * 36}, "aurora-institute")
    world.seal()
    kept = world.entries("clearance.approve")[0]
    run(world, f"UPDATE log_entries SET record = x'' WHERE id = {young}")  # noqa: S608
    assert verified(world)[0][world.name_of(young)] == TAKEN_AWAY
    run(world, f"UPDATE log_entries SET record = x'' WHERE id = {kept.id}")  # noqa: S608
    assert verified(world)[0][world.name_of(kept.id)] == TAKEN_AWAY
    run(world, f"UPDATE log_entries SET salt = x'' WHERE subject = '{old.id}'")  # noqa: S608
    assert "without an entry that records the erasure" in verified(world)[0][named(world, old)]
    (at,) = (entry.appended_at for entry in world.entries() if entry.id == young)
    assert month_of(at) != str(done.month)


COLUMNS = {
    "stage": ("stage = 'gpt-2/124M'", "its stage column differs from its record"),
    "code": ("code = 'x'", "its code column differs from its record"),
    "salt": ("salt = zeroblob(32)", "its salt and its record in"),
    "person": ("person = 'eve@example.org'", "its person column differs from its record"),
    "subject": ("subject = 'x' || subject", "its subject column differs from its record"),
    "organization": ("organization_id = 1", "its organization column differs from its record"),
    "time": ("appended_at = datetime(appended_at, '+1 seconds')", "its time column differs from its record"),
}


@pytest.mark.parametrize("what", COLUMNS)
def test_a_row_that_differs_from_its_archived_record_is_named(
    sqlite_world: World, bucket: LogBucket, what: str
) -> None:
    """What lists it and what opens it: both are held against the file."""
    download, _ = archived_download(sqlite_world)
    change, sentence = COLUMNS[what]
    place = named(sqlite_world, download)
    run(sqlite_world, f"UPDATE log_entries SET {change} WHERE subject = '{download.id}'")  # noqa: S608
    faults, _ = verified(sqlite_world, InBucket(bucket))
    assert faults.keys() == {place}
    assert faults[place].startswith(sentence)


def test_a_row_of_another_kind_is_read_by_its_place(sqlite_world: World, bucket: LogBucket) -> None:
    """The file says what it is; without it, the sealed places say that it was a download."""
    download, done = archived_download(sqlite_world)
    place = named(sqlite_world, download)
    run(sqlite_world, f"UPDATE log_entries SET kind = 'heartbeat' WHERE subject = '{download.id}'")  # noqa: S608
    assert verified(sqlite_world)[0] == {place: TAKEN_AWAY, f"archive of {done.month}": OTHER_DOWNLOADS}
    found = [fault for one in verifying.verify(sqlite_world.use, months=InBucket(bucket)) for fault in one.faults]
    assert "its kind column differs from its record" in [fault.sentence for fault in found if fault.row == place]


def hidden(world: World, entry_id: int, month: object | None = None) -> None:
    """Empty a row, and have it pass for a download; of an archived month."""
    at = "" if month is None else f", appended_at = '{month}-20 00:00:00.000000'"
    run(world, f"UPDATE log_entries SET record = x'', kind = 'download'{at} WHERE id = {entry_id}")  # noqa: S608


def test_a_later_entry_does_not_pass_for_an_archived_one(sqlite_world: World, bucket: LogBucket) -> None:
    """A revocation of later: `log verify` names it without any file, and the rolling check stops the log."""
    world = sqlite_world
    _, done = archived_download(world)
    clearances.revoke(world.use, world.admin, 1)
    world.seal()
    victim = world.entries("clearance.revoke")[0]
    hidden(world, victim.id, done.month)
    assert verified(world)[0][world.name_of(victim.id)] == TAKEN_AWAY
    sealer.Recheck(world.use).step()
    with world.use.database.reading() as session:
        assert TAKEN_AWAY in str(logs.current(session).stop_reason)


def test_an_entry_of_the_month_does_not_pass_for_an_archived_download(sqlite_world: World, bucket: LogBucket) -> None:
    """Nor does a download pass for one that never was: the places of the month's downloads are sealed."""
    world = sqlite_world
    record = orjson.loads(issue(world).entry.record)
    clearances.revoke(world.use, world.admin, 1)
    world.plant("download", record | {"download": "0" * 36}, "aurora-institute")
    issued = world.entries("download")[0].id
    month = grow_old(world)
    archive(world, month)
    assert verified(world)[0] == {}
    hidden(world, world.entries("clearance.revoke")[0].id)
    assert verified(world)[0][f"archive of {month}"] == OTHER_DOWNLOADS
    run(world, f"UPDATE log_entries SET kind = 'heartbeat' WHERE id = {issued}")  # noqa: S608
    assert verified(world)[0][f"archive of {month}"] == OTHER_DOWNLOADS


def test_a_row_that_is_not_in_the_file_is_one_fault(sqlite_world: World, bucket: LogBucket) -> None:
    """The rows after it are read as before."""
    world = sqlite_world
    first = issue(world, paths=("vocab.bpe",))
    world.clock.advance(Month.of(world.clock()).until + timedelta(days=3) - world.clock())
    record = orjson.loads(first.entry.record)
    for number in range(3):
        world.plant("download", record | {"download": f"{number}" * 36}, "aurora-institute")
    month = grow_old(world)
    archive(world, month)
    before, _ = verified(world, InBucket(bucket))
    old = entry_of(world, first)
    run(world, f"UPDATE log_entries SET record = x'', appended_at = '{month}-03 00:00:00' WHERE id = {old.id}")  # noqa: S608
    faults, notes = verified(world, InBucket(bucket))
    file = orjson.loads(world.entries("log.archive")[0].record)["file"]
    assert {row: told for row, told in faults.items() if row not in before} == {
        world.name_of(old.id): f"it is not in {file}", f"archive of {month}": OTHER_DOWNLOADS,
    }  # fmt: skip
    assert notes == []


def test_a_file_that_differs_is_a_fault_of_each_log(sqlite_world: World, bucket: LogBucket, tmp_path: Path) -> None:
    """The faults of an abandoned log are known: those of the next one must not be among them."""
    world = sqlite_world
    issue(world)
    world.seal()
    with world.use.database.reading() as session:
        origin = session.scalars(select(Log.origin)).one()
    sealing.stop(world.use.database, origin, "a test", world.clock())
    world.tampered = True
    own_keys.rotate(world.use, abandon=True)
    issue(world)
    done = archive(world, grow_old(world))
    copy = copied(bucket, tmp_path / "copy")
    change_the_file(bucket, copy, done)
    found = verifying.verify(world.use, months=InFolder(copy))
    named = [(one.abandoned, [fault.row for fault in one.faults]) for one in found]
    assert named == [(True, [f"archive of {done.month}"]), (False, [f"archive of {done.month}"])]


def test_a_file_that_is_no_month_is_a_fault(sqlite_world: World, bucket: LogBucket, tmp_path: Path) -> None:
    """Whoever could have an entry sealed about garbage: it is named, and the verification ends as ever."""
    world = sqlite_world
    content = b"PAR1 and nothing else PAR1"
    issue(world)
    world.seal()
    download = world.entries("download")[0]
    record = forged(world) | {"size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    world.plant("log.archive", record)
    world.seal()
    run(world, f"UPDATE log_entries SET record = x'' WHERE id = {download.id}")  # noqa: S608
    (tmp_path / str(record["file"])).parent.mkdir(parents=True)
    (tmp_path / str(record["file"])).write_bytes(content)
    told = [fault.sentence for one in verifying.verify(world.use, months=InFolder(tmp_path)) for fault in one.faults]
    assert f"{record['file']}: it is not a Parquet file of a month" in told


def test_fetched_copies_do_not_stay(sqlite_world: World, bucket: LogBucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy is gone once it is open, and one of another size is not fetched at all."""
    world = sqlite_world
    _, done = archived_download(world)
    left: list[list[Path]] = []
    real = archives.InBucket.open

    def opens(source: InBucket, file: str, folder: Path) -> BufferedReader:
        stream = real(source, file, folder)
        left.append(list(folder.iterdir()))
        return stream

    monkeypatch.setattr(archives.InBucket, "open", opens)
    assert verified(world, InBucket(bucket)) == ({}, [])
    bucket.delete(f"{bucket.folder}{done.file}")
    bucket.put_bytes(f"{bucket.folder}{done.file}", b"of another size")
    assert set(verified(world, InBucket(bucket))[0]) == {f"archive of {done.month}"}
    assert left == [[]]


def test_an_archive_over_two_logs_is_read_in_their_order(sqlite_world: World, bucket: LogBucket) -> None:
    """A month in which the log's keys were changed is one file for both."""
    world = sqlite_world
    issue(world)
    own_keys.rotate(world.use)
    issue(world)
    archive(world, grow_old(world))
    assert verified(world, InBucket(bucket)) == ({}, [])
    assert archives.OPEN_AT_MOST > 1


def test_the_worker_s_rolling_check_knows_archived_rows(sqlite_world: World, bucket: LogBucket) -> None:
    """It stops the log at a record that nothing took away, and at no other."""
    world = sqlite_world
    _, done = archived_download(world)
    assert done.emptied
    sealer.Recheck(world.use).step()
    with world.use.database.reading() as session:
        assert logs.current(session).stop_reason is None
    kept = world.entries("clearance.approve")[0]
    run(world, f"UPDATE log_entries SET record = x'' WHERE id = {kept.id}")  # noqa: S608
    sealer.Recheck(world.use).step()
    with world.use.database.reading() as session:
        assert TAKEN_AWAY in str(logs.current(session).stop_reason)
