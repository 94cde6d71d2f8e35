"""Archiving again: once an entry of an archived month was erased, another file has the rest."""

import orjson
import pyarrow.parquet
import pytest
from sqlalchemy import select

from server.domain.audit import erasure, months
from server.domain.audit.months import Keeper, MonthDiffers
from server.domain.errors import NotPossible
from server.log.entries import Log
from server.storage.log_bucket import LogBucket
from tests import tampering
from tests.archived_months import archive, archived_download, entry_of, grow_old, issue, run
from tests.world import World


def test_an_archived_entry_can_be_erased(world: World, bucket: LogBucket) -> None:
    """Here at once; from the bucket by another file, which the same command writes, and by deleting the older one."""
    kept = issue(world)
    download, done = archived_download(world)
    erased = erasure.erase(world.use, world.admin, download.id, "A request.")
    entry = entry_of(world, download)
    assert (erased.archived, entry.record, entry.salt, entry.person) == (str(done.month), b"", b"", None)
    assert world.faults() == []
    with pytest.raises(MonthDiffers, match=r"log archive .* again"):
        Keeper(world.use).keep()
    again = archive(world, done.month)
    assert (again.older, again.emptied) == (done.file, 0)
    assert [orjson.loads(told.record).get("replaces") for told in world.entries("log.archive")] == [None, done.file]
    path = world.folder / "month"
    bucket.download(f"{bucket.folder}{again.file}", path)
    rows = {row["subject"]: row for row in pyarrow.parquet.read_table(path).to_pylist() if row["kind"] == "download"}
    assert (rows[download.id]["record"], rows[download.id]["salt"], rows[download.id]["person"]) == (None, None, None)
    assert rows[kept.id]["record"].encode() == kept.entry.record
    with pytest.raises(MonthDiffers, match="delete that one"):
        Keeper(world.use).keep()
    bucket.delete(f"{bucket.folder}{done.file}")
    Keeper(world.use).keep()
    assert archive(world, done.month).older is None
    assert world.faults() == []


@pytest.mark.parametrize("content", [b"not Parquet at all", None])
def test_what_is_there_by_the_newer_file_s_name_is_compared(
    sqlite_world: World, sqlite_bucket: LogBucket, content: bytes | None
) -> None:
    """Garbage, or the older file (None): the name is no proof, and the older file is all there is."""
    world, bucket = sqlite_world, sqlite_bucket
    issue(world)
    download, done = archived_download(world)
    erasure.erase(world.use, world.admin, download.id, "A request.")
    with world.use.database.reading() as session:
        file = months.file_of(session, done.month)
    bucket.put_bytes(f"{bucket.folder}{file}", content or bucket.get_bytes(f"{bucket.folder}{done.file}"))
    with pytest.raises(NotPossible, match="differs from the log"):
        archive(world, done.month)
    assert len(world.entries("log.archive")) == 1
    bucket.delete(f"{bucket.folder}{file}")
    again = archive(world, done.month)
    first, second = (orjson.loads(told.record) for told in world.entries("log.archive"))
    assert (again.file, again.older, first["records"]) == (file, done.file, second["records"])


def test_an_erasure_names_the_month_whose_file_has_the_entry(sqlite_world: World, sqlite_bucket: LogBucket) -> None:
    """Whatever its kind, emptied or not: the file has all entries of the month; and none of a later one."""
    world = sqlite_world
    record = orjson.loads(issue(world).entry.record)
    alarm = world.plant("alarm", {"alarm": "a_test", "download": record["download"]})
    done = archive(world, grow_old(world))
    young = world.plant("download", record | {"download": "0" * 36}, "aurora-institute")
    world.seal()
    erased = [
        erasure.erase(world.use, world.admin, world.name_of(entry_id).replace("entry ", f"{name}/"), "A request.")
        for name, entry_id in ((log_name(world), alarm), (log_name(world), young))
    ]
    assert [one.archived for one in erased] == [str(done.month), None]


def log_name(world: World) -> str:
    with world.use.database.reading() as session:
        return session.scalars(select(Log)).one().name


def test_an_erasure_that_nothing_tells_of_is_none(sqlite_world: World, sqlite_bucket: LogBucket) -> None:
    """Whoever empties a salt by hand gets no file without the record."""
    world = sqlite_world
    download, done = archived_download(world)
    world.tampered = True
    emptied = f"UPDATE log_entries SET salt = x'', person = NULL WHERE subject = '{download.id}'"  # noqa: S608
    tampering.run(world.settings.database_url, emptied)
    with pytest.raises(NotPossible, match="was emptied without an entry that records it"):
        archive(world, done.month)
    assert len(world.entries("log.archive")) == 1


@pytest.mark.parametrize("column", ["organization_id = 1", "organization_id = 999", "person = NULL", "stage = 'x/y'"])
def test_a_row_that_was_relabelled_is_not_archived_again(
    sqlite_world: World, sqlite_bucket: LogBucket, column: str
) -> None:
    """Whatever it is found by is held against the file once more."""
    world = sqlite_world
    download, done = archived_download(world)
    run(world, f"UPDATE log_entries SET {column} WHERE subject = '{download.id}'")  # noqa: S608
    with pytest.raises(NotPossible, match="differs from the log"):
        archive(world, done.month)
