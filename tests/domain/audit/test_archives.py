"""Archives: `log verify` reads archived records back and judges them, and says what was not read or what is wrong."""

from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest

from server.domain.audit import archives, logs, sealer, verifying
from server.domain.audit.archives import InBucket, InFolder, Source
from server.domain.audit.archiving import Archived
from server.domain.downloads.issuing import Download
from server.log.archived import month_of
from server.storage.log_bucket import LogBucket
from tests import own_keys, tampering
from tests.archived_months import archive, archived_download, copied, entry_of, grow_old, issue, months_of
from tests.world import World

TAKEN_AWAY = "its record was taken away, and no entry archives its month"
UNKNOWN = "it names no clearance that the log knows"


@pytest.fixture
def bucket(sqlite_world: World) -> Iterator[LogBucket]:
    with months_of(sqlite_world) as found:
        yield found


def verified(world: World, source: Source | None = None) -> tuple[dict[str, str], list[str]]:
    """What is named, with the first sentence about it, and the notes."""
    found = verifying.verify(world.use, months=source)
    faults = {fault.row: fault.sentence for one in found for fault in reversed(one.faults)}
    return faults, [note for one in found for note in one.notes]


def run(world: World, statement: str) -> None:
    """As somebody does who owns the database, past every guard."""
    world.tampered = True
    tampering.run(world.settings.database_url, statement)


def named(world: World, download: Download) -> str:
    return world.name_of(entry_of(world, download).id)


def test_what_was_not_read_is_said(sqlite_world: World, bucket: LogBucket, tmp_path: Path) -> None:
    """How many of which month, and where they are; with a copy, or from the bucket, nothing is left to say."""
    world = sqlite_world
    _, done = archived_download(world)
    faults, notes = verified(world)
    assert faults == {}
    (note,) = notes
    assert note.startswith(f"the records of {done.emptied} downloads of {done.month} were not read: ")
    assert done.file in note
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


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"kinds": ["clearance.approve"]}, "it archives records that are needed to verify others"),
        ({"month": "2001-01"}, "it archives a month in the file of another"),
        ({"because": "Too soon."}, "it archives a month that was too young"),
        ({"sha256": None, "kinds": 3}, "its record does not have the fields of its kind"),
    ],
)
def test_an_archive_that_may_not_be_is_named(
    sqlite_world: World, bucket: LogBucket, change: dict[str, object], sentence: str
) -> None:
    """Whoever can append an entry could tell of any archive; `log verify` judges what it says."""
    world = sqlite_world
    issue(world)
    month = world.clock().strftime("%Y-%m")
    record = {
        "actor": {"via": "cli", "person": world.admin.person, "organization": world.admin.organization},
        "month": month, "file": f"year={month[:4]}/month={month[5:]}/{'0' * 32}.parquet", "sha256": "0" * 64,
        "size_bytes": 1, "entries": 1, "kinds": ["download"], "because": "A test.",
    }  # fmt: skip
    planted = world.plant("log.archive", record | change)
    world.seal()
    world.tampered = True
    assert verified(world)[0].get(world.name_of(planted)) == sentence


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
