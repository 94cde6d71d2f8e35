"""Archiving: records leave the database, proofs are served as before, and nothing leaves that is nowhere else."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import orjson
import pyarrow.parquet
import pytest
from sqlalchemy import select, update

from server.domain.audit import archiving, months
from server.domain.audit.archives import sha256_of
from server.domain.audit.month import Month
from server.domain.audit.months import Keeper, MonthDiffers
from server.domain.delivery import statistics
from server.domain.downloads import issuing
from server.domain.downloads.issuing import Download
from server.domain.errors import InvalidRequest, NotPermitted, NotPossible
from server.log import proofs, sealing, tree
from server.log.entries import Log, LogEntry, commitment_of
from server.log.notes import VerifierKey
from server.log.proofs import Proof
from server.storage.database import DATABASE_ERRORS, DatabaseUnavailable
from server.storage.log_bucket import LogBucket
from tests import tampering
from tests.archived_months import BECAUSE, archive, archived_download, entry_of, grow_old, issue
from tests.world import World


def proof_of(world: World, download: Download) -> bytes:
    with world.use.database.reading() as session:
        return issuing.proof(session, world.caller("cleared"), download.id)


def full(world: World) -> int:
    """How many downloads have their records in the database."""
    return sum(bool(entry.record) for entry in world.entries("download"))


def test_the_record_leaves_and_all_else_stays(world: World, bucket: LogBucket) -> None:
    """The proof still proves the record that the partner was given, and an entry tells of the file."""
    download = issue(world)
    month = grow_old(world)
    before, proof = entry_of(world, download), Proof.parse(proof_of(world, download))
    others = {entry.id: entry.record for entry in world.entries() if entry.kind != "download"}
    done = archive(world, month)
    after, now = entry_of(world, download), Proof.parse(proof_of(world, download))
    assert (done.emptied, done.older, full(world)) == (len(world.entries("download")), None, 0)
    assert (before.record, after.record) == (download.entry.record, b"")
    for kept in ("salt", "commitment", "leaf_index", "subject", "organization_id", "person", "stage", "appended_at"):
        assert getattr(after, kept) == getattr(before, kept)
    assert {entry.id: entry.record for entry in world.entries() if entry.id in others} == others
    assert (now.index, now.extra) == (proof.index, download.entry.salt)
    leaf = tree.leaf_hash(commitment_of(download.entry.salt, download.entry.record))
    with world.use.database.reading() as session:
        vkey = session.scalars(select(Log.vkey)).one()
    assert proofs.verify(now.encode(), leaf, VerifierKey.parse(vkey)).size > proof.index
    told = orjson.loads(world.entries("log.archive")[0].record)
    path = world.folder / "month"
    bucket.download(f"{bucket.folder}{told['file']}", path)
    assert (told["month"], told["because"], told["kinds"]) == (str(month), BECAUSE, ["download"])
    assert (told["sha256"], told["size_bytes"]) == (sha256_of(path), path.stat().st_size)
    assert told["entries"] == pyarrow.parquet.read_metadata(path).num_rows
    assert world.faults() == []


def test_a_proof_is_the_same_byte_by_byte(sqlite_world: World, sqlite_bucket: LogBucket) -> None:
    """Under the same head: nothing in it is of the record. Every tile and entry bundle is the same, too."""
    world, download = sqlite_world, issue(sqlite_world)
    month = grow_old(world)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(archiving, "_empty_all", lambda *_: 0)
        archive(world, month)
    addresses = ["/log/checkpoint", "/log/tile/0/000.p/5", "/log/tile/entries/000.p/5"]
    public = [world.ask("GET", address, None).data for address in addresses]
    before = proof_of(world, download)
    assert full(world)
    assert archive(world, month).emptied > 0
    assert proof_of(world, download) == before
    assert [world.ask("GET", address, None).data for address in addresses] == public
    assert all(public)
    assert len(world.entries("log.archive")) == 1


def test_what_was_interrupted_goes_on(world: World, bucket: LogBucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some rows are empty, some are not, and the log verifies; the same command empties the rest, and tells it once."""
    for _ in range(3):
        issue(world, paths=("vocab.bpe",))
    month = grow_old(world)
    count, real = full(world), archiving._empty
    monkeypatch.setattr(archiving, "EMPTIED_AT_ONCE", 2)

    def dies(session: object, ids: Sequence[int]) -> None:
        if full(world) < count:
            raise DatabaseUnavailable("the machine lost its power")
        real(session, ids)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(archiving, "_empty", dies)
        with pytest.raises(DatabaseUnavailable):
            archive(world, month)
    assert full(world) == count - 2
    assert world.faults() == []
    told: list[tuple[int, int]] = []
    done = archiving.archive(world.use, world.admin, month, BECAUSE, lambda *part: told.append(part))
    assert (done.emptied, full(world), told[-1]) == (count - 2, 0, (count - 2, count - 2))
    assert len(world.entries("log.archive")) == 1
    assert world.faults() == []
    assert archive(world, month).emptied == 0


def test_before_its_entry_is_sealed_nothing_can_be_emptied(world: World, bucket: LogBucket) -> None:
    """The database itself refuses, whoever asks with whatever role; and afterwards, what is none of a download."""

    def empty(kind: str, **values: object) -> None:
        owner = world.use.as_owner()
        try:
            with owner.database.transaction() as session:
                session.execute(update(LogEntry).where(LogEntry.kind == kind).values(record=b"", **values))
        finally:
            owner.close()

    issue(world)
    month = grow_old(world)
    with pytest.raises((*DATABASE_ERRORS, DatabaseUnavailable)):
        empty("download")
    archive(world, month)
    for kind, values in (("clearance.approve", {}), ("log.archive", {}), ("download", {"salt": b""})):
        with pytest.raises((*DATABASE_ERRORS, DatabaseUnavailable)):
            empty(kind, **values)


def test_a_young_month_stays(sqlite_world: World, sqlite_bucket: LogBucket) -> None:
    """Ninety days after its end, not a day earlier; nor is one archived that is not of the log."""
    world = sqlite_world
    issue(world)
    month = grow_old(world)
    world.clock.advance(-timedelta(days=1))
    with pytest.raises(NotPossible, match="ended less than 90 days ago"):
        archive(world, month)
    world.clock.advance(timedelta(days=1))
    with pytest.raises(NotPossible, match=f"has no entries of {Month(2001, 1)}"):
        archive(world, Month(2001, 1))
    assert full(world)


def test_whoever_may_not_archive_is_refused(sqlite_world: World, sqlite_bucket: LogBucket) -> None:
    """Without a reason, or by anybody but an admin; without a place for months; in a stopped log."""
    world = sqlite_world
    issue(world)
    month = grow_old(world)
    with pytest.raises(InvalidRequest):
        archiving.archive(world.use, world.admin, month, " ")
    for who in ("publisher", "auditor", "cleared"):
        with pytest.raises(NotPermitted):
            archiving.archive(world.use, world.person(who), month, BECAUSE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(world.use.__dict__, "log_months", None)
        with pytest.raises(NotPossible, match="no log_months"):
            archive(world, month)
        patch.setattr(months, "parquet_is_installed", lambda: False)
        with pytest.raises(NotPossible, match="pyarrow, which is not installed"):
            archive(world, month)
    with world.use.database.reading() as session:
        origin = session.scalars(select(Log.origin)).one()
    sealing.stop(world.use.database, origin, "a test", world.clock())
    world.tampered = True
    with pytest.raises(NotPossible, match="The log is stopped"):
        archive(world, month)
    assert full(world)


def test_what_is_in_no_chart_waits(sqlite_world: World, sqlite_bucket: LogBucket) -> None:
    """The charts count a download's bytes from its record, once."""
    issue(sqlite_world)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "count", lambda _: 0)
        month = grow_old(sqlite_world)
    with pytest.raises(NotPossible, match="not been counted for the charts yet"):
        archive(sqlite_world, month)


def a_changed_record(row: dict[str, object]) -> None:
    row["record"] = str(row["record"]).replace("gpt-2", "gpt-3")


def another_person(row: dict[str, object]) -> None:
    row["person"] = "eve@example.org"


def another_place(row: dict[str, object]) -> None:
    row["leaf_index"] = int(str(row["leaf_index"])) + 1


def no_record(row: dict[str, object]) -> None:
    row["record"] = row["salt"] = None


@pytest.mark.parametrize("change", [a_changed_record, another_person, another_place, no_record, None])
def test_a_file_that_differs_is_no_archive(sqlite_world: World, sqlite_bucket: LogBucket, change: object) -> None:
    """One row that is another, or none (None: the file is not Parquet at all): refused, and nothing is emptied."""
    world, bucket = sqlite_world, sqlite_bucket
    issue(world)
    month = grow_old(world)
    key = f"{bucket.folder}{months.files_in(bucket, month)[0]}"
    path = world.folder / "month"
    bucket.download(key, path)
    if callable(change):
        table = pyarrow.parquet.read_table(path)
        rows = table.to_pylist()
        change(next(row for row in rows if row["kind"] == "download"))
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema=table.schema), path)
    else:
        path.write_bytes(b"PAR1 and nothing else PAR1")
    bucket.delete(key)
    bucket.put_bytes(key, path.read_bytes())
    count = full(world)
    with pytest.raises(NotPossible, match="differs from the log"):
        archive(world, month)
    assert (full(world), world.entries("log.archive")) == (count, [])


def test_a_month_that_is_not_in_the_bucket_stays(sqlite_world: World, sqlite_bucket: LogBucket) -> None:
    """Neither a missing file nor another month's is taken for it."""
    world, bucket = sqlite_world, sqlite_bucket
    issue(world)
    month = grow_old(world)
    (file,) = months.files_in(bucket, month)
    content = bucket.get_bytes(f"{bucket.folder}{file}")
    bucket.delete(f"{bucket.folder}{file}")
    with pytest.raises(NotPossible, match="no file of"):
        archive(world, month)
    bucket.put_bytes(f"{bucket.folder}{month.folder}{'0' * 32}.parquet", content)
    with pytest.raises(NotPossible, match="another"):
        archive(world, month)
    assert full(world)


def test_an_archived_month_is_kept_as_it_is(sqlite_world: World, sqlite_bucket: LogBucket) -> None:
    """It does not differ, is not written again, and is missed where it is gone: there is no other copy."""
    world, bucket = sqlite_world, sqlite_bucket
    _, done = archived_download(world)
    before = bucket.list_keys("")
    assert done.month not in Keeper(world.use).keep()
    assert months.missing(world.use) == []
    bucket.delete(f"{bucket.folder}{done.file}")
    assert months.missing(world.use) == [done.month]
    with pytest.raises(MonthDiffers, match="no other place has the records"):
        Keeper(world.use).keep()
    bucket.put_bytes(f"{bucket.folder}{done.month.folder}{'0' * 32}.parquet", b"x")
    assert months.missing(world.use) == [done.month]
    assert [key for key in bucket.list_keys("") if key not in before] == [
        f"{bucket.folder}{done.month.folder}{'0' * 32}.parquet"
    ]
    with pytest.raises(NotPossible, match="is not in the bucket"):
        archive(world, done.month)


def late(world: World, month: Month, download: Download) -> int:
    """A download that is sealed now, and dated in a month that is long over; its entry's id."""
    now = world.clock()
    world.clock.advance(month.until - timedelta(days=1) - now)
    record = {name: value for name, value in orjson.loads(download.entry.record).items() if name != "time"}
    planted = world.plant("download", record | {"download": "0" * 36}, "aurora-institute")
    world.seal()
    world.clock.advance(now - world.clock())
    return planted


def test_what_was_not_compared_stops_the_archiving(
    sqlite_world: World, sqlite_bucket: LogBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the log got of the month before the entry was sealed: it is in no file."""
    world = sqlite_world
    download = issue(world)
    month, real = grow_old(world), archiving._tell

    def tell(*arguments: Any) -> None:
        late(world, month, download)
        real(*arguments)

    monkeypatch.setattr(archiving, "_tell", tell)
    with pytest.raises(NotPossible, match=r"other downloads of .* than were compared"):
        archive(world, month)
    assert (full(world), world.entries("log.archive")) == (2, [])


def test_what_is_sealed_after_the_archive_stays(
    sqlite_world: World, sqlite_bucket: LogBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A download that is dated in the month, and was not there when it was compared."""
    world = sqlite_world
    download = issue(world)
    month = grow_old(world)
    real, planted = archiving._empty_all, []

    def empty_all(*arguments: Any) -> int:
        planted.append(late(world, month, download))
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(archiving, "_empty_all", empty_all)
        assert archive(world, month).emptied == 1
    (entry,) = (entry for entry in world.entries() if entry.id == planted[0])
    assert (bool(entry.record), full(world)) == (True, 1)
    found = [fault for fault in world.faults() if "archive" in fault.row or "taken away" in fault.sentence]
    assert found == []


def test_other_downloads_than_were_compared_are_not_emptied(
    sqlite_world: World, sqlite_bucket: LogBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever makes another entry a download meanwhile does not have it emptied."""
    world = sqlite_world
    issue(world, paths=("vocab.bpe",))
    issue(world)
    month = grow_old(world)
    real, count = archiving._empty_all, full(world)

    def empty_all(*arguments: Any) -> int:
        world.tampered = True
        tampering.run(world.settings.database_url, "UPDATE log_entries SET kind = 'download' WHERE id = 5")
        return real(*arguments)

    monkeypatch.setattr(archiving, "_empty_all", empty_all)
    with pytest.raises(NotPossible, match=r"other downloads of .* than were compared"):
        archive(world, month)
    assert full(world) == count + 1
