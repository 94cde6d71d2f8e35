"""Forged archives: whoever can write to the database can append `log.archive`, and the sealer seals what is there.

What the command would never have written is a fault. One of exactly its form is seen where its file should be.
"""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson
import pytest

from server.domain.audit import erasure, exports, verifying
from server.domain.audit.archives import InBucket
from server.domain.audit.month import Month
from server.domain.operation import log_outlets
from server.domain.operation.door_probes import Wrong
from server.log import archived
from server.log.archived import Places, month_of
from server.storage.log_bucket import LogBucket
from tests.archived_months import archived_download, forged, grow_old, issue, months_of, run, verified
from tests.world import World

OTHER_DOWNLOADS = "the downloads of that month are not those that were archived"
NOTHING_ERASED = "it replaces the file of a month in which nothing was erased since"


@pytest.fixture
def bucket(sqlite_world: World) -> Iterator[LogBucket]:
    with months_of(sqlite_world) as found:
        yield found


def emptied(world: World, **change: Any) -> tuple[int, Month]:
    """The attack: an entry about a file that never was, with the right digest but for `change`; then the deletion."""
    issue(world)
    month = grow_old(world)
    places, true = Places(), forged(world, str(month))
    for entry in sorted(world.entries("download"), key=lambda entry: entry.leaf_index or 0):
        if month_of(entry.appended_at) == str(month):
            places.take(entry.leaf_index or 0)
    true["records"] = [{"log": true["records"][0]["log"]} | asdict(places.records)]
    true["entries"] = places.records.count
    changed = {name: value(true) if callable(value) else value for name, value in change.items()}
    planted = world.plant("log.archive", true | changed, subject=str(month))
    world.seal()
    run(world, "UPDATE log_entries SET record = x'' WHERE kind = 'download'")
    return planted, month


def test_an_archive_of_the_right_form_that_never_was(sqlite_world: World, bucket: LogBucket) -> None:
    """The log alone cannot tell; it says in whose name, and that nothing was checked. The bucket has no such file."""
    _, month = emptied(sqlite_world)
    faults, (note,) = verified(sqlite_world)
    assert faults == {}
    assert "was not read, and the columns of its row were not checked. It was archived in" in note
    assert note.endswith(f" by {sqlite_world.admin.person}")
    assert "cannot be read" in verified(sqlite_world, InBucket(bucket))[0][f"archive of {month}"]
    with pytest.raises(Wrong, match="no other place has the records of the archived"):
        log_outlets.months_are_kept(sqlite_world.use)


FORGED: dict[str, tuple[dict[str, Any], str]] = {
    "a log that was not there": (
        {
            "records": lambda true: [*true["records"], true["records"][0] | {"log": "localhost/downloads/2999"}],
            "entries": 99,
        },
        "it archives entries of localhost/downloads/2999, which is no log that was there",
    ),
    "entries to come": (
        {"records": lambda true: [true["records"][0] | {"last": 10**6}]}, "it archives entries that came after it"
    ),
    "no reason": ({"because": " "}, "it does not say why"),
    "from the portal": (
        {"actor": lambda true: true["actor"] | {"via": "session"}}, "months are archived on the host only"
    ),
    "fewer entries than records": ({"entries": 0}, "its record does not have the fields of its kind"),
}  # fmt: skip


@pytest.mark.parametrize("what", FORGED)
def test_what_the_command_never_writes_is_a_fault(sqlite_world: World, bucket: LogBucket, what: str) -> None:
    """Without any file."""
    change, sentence = FORGED[what]
    planted, _ = emptied(sqlite_world, **change)
    found = [fault for one in verifying.verify(sqlite_world.use) for fault in one.faults]
    assert sentence in [fault.sentence for fault in found if fault.row == sqlite_world.name_of(planted)]


@pytest.mark.parametrize("change", [{"count": 2}, {"sha256": "0" * 64}])
def test_places_that_do_not_fit_are_a_fault(sqlite_world: World, bucket: LogBucket, change: dict[str, Any]) -> None:
    """Their number and their digest."""
    _, month = emptied(sqlite_world, records=lambda true: [true["records"][0] | change], entries=9)
    assert verified(sqlite_world)[0] == {f"archive of {month}": OTHER_DOWNLOADS}


def another(world: World, done_file: str) -> int:
    """Tell of another file of the same records; the row of the entry."""
    true = {name: value for name, value in world.records("log.archive")[-1].items() if name != "replaces"}
    file = f"{done_file.rpartition('/')[0]}/{len(world.entries()):032x}.parquet"
    planted = world.plant("log.archive", true | {"replaces": done_file, "file": file})
    world.seal()
    return planted


def test_a_file_is_replaced_only_after_an_erasure(sqlite_world: World, bucket: LogBucket) -> None:
    """Else a file that never was takes the place of the one that has the records; once for each erasure."""
    world = sqlite_world
    issue(world)
    download, done = archived_download(world)
    planted = another(world, done.file)
    assert verified(world)[0] == {world.name_of(planted): NOTHING_ERASED}
    erasure.erase(world.use, world.admin, download.id, "A request.")
    fine = another(world, world.records("log.archive")[-1]["file"])
    assert verified(world)[0] == {world.name_of(planted): NOTHING_ERASED}
    again = another(world, world.records("log.archive")[-1]["file"])
    assert verified(world)[0] == {world.name_of(row): NOTHING_ERASED for row in (planted, again)}
    assert fine not in (planted, again)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"kinds": ["clearance.approve"]}, "it archives records that are needed to verify others"),
        ({"month": "2001-01"}, "it archives a month in the file of another"),
        ({"because": "Too soon."}, "it archives a month that was too young"),
        ({"sha256": None, "kinds": 3}, "its record does not have the fields of its kind"),
        ({"actor": {"via": "cli"}}, "it names no person who did it"),
        ({"kinds": []}, "its record does not have the fields of its kind"),
    ],
)
def test_an_archive_that_may_not_be_is_named(
    sqlite_world: World, bucket: LogBucket, change: dict[str, object], sentence: str
) -> None:
    """Whoever can append an entry could tell of any archive; `log verify` judges what it says."""
    world = sqlite_world
    issue(world)
    planted = world.plant("log.archive", forged(world) | change)
    world.seal()
    assert verified(world)[0].get(world.name_of(planted)) == sentence


MALFORMED: dict[str, list[object]] = {
    "kind": ["download"],
    "month": ["nonsense", "2026-13", None, 7],
    "file": ["../../../etc/passwd", "year=2026/month=11/../x.parquet", None],
    "sha256": ["0" * 63, "G" * 64, None],
    "size_bytes": ["1", True, -1, None],
    "entries": [None, "1", 0],
    "time": [10**30, -(10**15), "now", 2**52],
    "kinds": ["download", [["download"]], ["download", "clearance.revoke"], []],
    "actor": ["ada", {"person": 7}],
    "replaces": ["year=2026/month=11/x.parquet", 3, f"year=2026/month=11/{'0' * 32}.parquet"],
    "records": [
        None,
        [{"log": "a", "count": 1, "last": 0}],
        [{"log": "a", "count": 3, "last": 1, "sha256": "0" * 64}],
        [{"log": "a", "count": 1, "last": 1, "sha256": "0" * 64}] * 2,
    ],
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_record_of_another_form_is_no_archive(name: str) -> None:
    """Whoever can append can append any record: each field is read as it is written, or nothing is."""
    month = "2026-11"
    record = {
        "kind": "log.archive", "time": 1_800_000_000_000, "month": month, "sha256": "0" * 64, "size_bytes": 1,
        "file": f"year=2026/month=11/{'0' * 32}.parquet", "entries": 1, "kinds": ["download"],
        "records": [{"log": "a", "count": 1, "last": 0, "sha256": "0" * 64}],
    }  # fmt: skip
    assert archived.parse(record).month == month
    for value in MALFORMED[name]:
        with pytest.raises(archived.NotAnArchive):
            archived.parse(record | {name: value})
    if name not in {"replaces", "actor"}:
        with pytest.raises(archived.NotAnArchive):
            archived.parse({key: value for key, value in record.items() if key != name})


def test_a_forged_archive_takes_no_true_one_s_place(sqlite_world: World, bucket: LogBucket, tmp_path: Path) -> None:
    """What does not follow the one before, or is malformed, is a fault and changes nothing else."""
    world = sqlite_world
    _, done = archived_download(world)
    true = orjson.loads(world.entries("log.archive")[0].record)
    planted = {
        world.plant("log.archive", forged(world, str(done.month)) | change): sentence
        for change, sentence in (
            ({"records": true["records"]}, "it does not name the file that was archived before"),
            ({"replaces": done.file}, "it archives other entries than the one before"),
            ({"month": "nonsense"}, "its record does not have the fields of its kind"),
        )
    }
    other = world.plant("log.archive", forged(world, "2026-01"), subject=str(done.month))
    planted[other] = "its subject column differs from its record"
    world.seal()
    faults, _ = verified(world, InBucket(bucket))
    assert {entry: faults[world.name_of(entry)] for entry in planted} == planted
    assert len(faults) == len(planted)
    with world.use.database.reading() as session:
        assert {month: one.file for month, one in archived.archives(session).items()} == {str(done.month): done.file}
    assert list(exports.lines(world.use, "jsonl", source=InBucket(bucket)))
