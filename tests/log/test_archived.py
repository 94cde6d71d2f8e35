"""Archived entries, for whoever reads records: each says so, or reads the file; none counts less in silence."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from server.domain.audit import evidence_checks, evidence_packs, exports, exposure, exposure_forms
from server.domain.audit.archives import InBucket
from server.domain.audit.archiving import Archived
from server.domain.audit.log_entries import EntryFilter
from server.domain.audit.month import Month
from server.domain.callers import Caller
from server.domain.delivery import deliveries, reconciliation, usage
from server.domain.downloads import issuing
from server.domain.downloads.issuing import Download
from server.domain.errors import NotFound, NotPossible, RecordArchived
from server.domain.paging import Slice
from server.log.entries import Log
from server.storage.log_bucket import LogBucket
from tests.access_log_lines import Wanted, s3_line
from tests.archived_months import archived_download, months_of
from tests.visits import words
from tests.world import World


@pytest.fixture
def bucket(sqlite_world: World) -> Iterator[LogBucket]:
    with months_of(sqlite_world) as found:
        yield found


@pytest.fixture
def archived(sqlite_world: World, bucket: LogBucket) -> tuple[Download, Archived, Caller]:
    """An archived download, and whoever asked for it, whose token has expired since."""
    caller = sqlite_world.caller("cleared")
    return *archived_download(sqlite_world), caller


def test_it_is_listed_and_cannot_be_renewed(sqlite_world: World, archived: tuple[Download, Archived, Caller]) -> None:
    """Lists have what the row still says; whoever renews is told why not, and others no more than before."""
    (download, _, caller), world = archived, sqlite_world
    with world.use.database.reading() as session:
        shown = {one["download"]: one for one in issuing.visible(session, caller, Slice(200)).items}
        assert deliveries.of_download(session, download.id) is None
    one = shown[download.id]
    assert (one["model"], one["stage"], one["archived"]) == ("gpt-2", "774M", True)
    assert one["actor"] == {"organization": "aurora-institute", "person": caller.person}
    with pytest.raises(RecordArchived, match="too old to be renewed: its record was archived"):
        issuing.renew(world.use, caller, download.id, None)
    with pytest.raises(NotFound, match="has no such download"):
        issuing.renew(world.use, world.person("unsigned"), download.id, None)


def test_pages_and_api_say_where_it_is(sqlite_world: World, archived: tuple[Download, Archived, Caller]) -> None:
    """Staff are told the file; a partner is told that it was archived, and gets the proof."""
    (download, done, _), world = archived, sqlite_world
    entry = next(entry for entry in world.entries("download") if entry.subject == download.id)
    at = f"/audit/log/{entry.appended_at:%Y}/{entry.leaf_index}"
    lab, partner = world.visit("auditor"), world.visit("cleared")
    shown = words(lab.get(at))
    assert "The text was archived on" in shown
    assert done.file in shown
    assert "erased" not in shown
    assert done.file not in words(partner.get(at))
    assert "The text was archived on" in words(partner.get(at))
    assert lab.get(f"{at}/record").status_code == 404
    assert lab.get(f"{at}/proof").status_code == 200
    assert "The record was archived." in words(partner.get("/downloads"))
    lost = partner.get(f"/downloads/{download.id}")
    assert (lost.status_code, "The text was archived on" in words(lost)) == (404, True)
    assert partner.get(f"/downloads/{download.id}/proof").data
    for name in ("record", "receipt"):
        assert partner.get(f"/downloads/{download.id}/{name}").status_code == 404
    rows = partner.get("/downloads/all.csv").text.splitlines()
    assert any(row.startswith(download.id) and ",archived," in row for row in rows)
    assert download.id in words(lab.get(f"/find?q={download.id}"))
    told = world.entries("log.archive")[0]
    assert done.file in words(lab.get(f"/audit/log/{entry.appended_at:%Y}/{told.leaf_index}"))
    assert "Log month archived" in words(lab.get("/audit/log?kind=log.archive"))


def test_a_read_of_it_is_a_ghost_read(
    sqlite_world: World, archived: tuple[Download, Archived, Caller], tmp_path: Path
) -> None:
    """None of its URLs can work any more; of a read of then, which is told late, nothing can be said."""
    (download, _, _), world = archived, sqlite_world
    file = json.loads(download.entry.record)["files"][0]
    then = next(entry.appended_at for entry in world.entries("download") if entry.subject == download.id)
    for number, (at, alarms) in enumerate(((then + timedelta(seconds=9), {}), (world.clock(), {"ghost_read": 1}))):
        path = tmp_path / f"{number}.log"
        path.write_text(s3_line(Wanted(at, file["object_key"], download.id, request_id=str(number))) + "\n")
        assert reconciliation.reconcile(world.use, [str(path)]).alarms == alarms


def test_counts_say_what_they_do_not_have(sqlite_world: World, archived: tuple[Download, Archived, Caller]) -> None:
    """Exposure counts it, and says that its bytes are missing; usage says `at least`."""
    (download, done, caller), world = archived, sqlite_world
    use, auditor = world.use, world.person("auditor")
    checkpoint = json.loads(download.entry.record)["checkpoint"]
    with use.database.reading() as session:
        found = exposure.exposure(
            session, auditor, use.settings.second_person_tier, "gpt-2/774M", done.month.since, done.month.until
        )
        assert usage.downloads_of_checkpoint(session, auditor, "gpt-2/774M", checkpoint) == (0, True)
        span, at_least = usage.of_model_since(session, auditor, caller.organization_id or 0, "gpt-2", done.month.since)
    taken = next(one for one in found.taken if one.person == caller.person)
    assert (found.archived, taken.organization, taken.downloads, taken.archived) == (1, "aurora-institute", 1, 1)
    (row,) = [line for line in exposure_forms.as_csv(found) if ",did," in line]
    assert row.rstrip().endswith(",1,,0")
    assert (span.downloads, at_least) == (0, True)


def test_exports_refuse_or_read_the_file(
    sqlite_world: World, archived: tuple[Download, Archived, Caller], bucket: LogBucket
) -> None:
    """Over a time with archived months; of other kinds and other times all is as before."""
    (download, done, _), world = archived, sqlite_world
    use, auditor, month = world.use, world.person("auditor"), done.month
    refused = f"of the downloads of .*{month} were archived"
    for wanted in (EntryFilter(), EntryFilter(kind="download", until=month.until)):
        with pytest.raises(NotPossible, match=refused):
            exports.chosen(use, auditor, "jsonl", wanted)
    for wanted in (EntryFilter(kind="clearance.approve"), EntryFilter(since=month.until)):
        assert list(exports.chosen(use, auditor, "jsonl", wanted))
    with pytest.raises(NotPossible, match=refused):
        next(exports.lines(use, "jsonl"))
    lines = [json.loads(line) for line in exports.lines(use, "jsonl", source=InBucket(bucket))]
    assert download.entry.record.decode() in {line["record"] for line in lines}
    assert all(line["record"] for line in lines)
    bucket.delete(f"{bucket.folder}{done.file}")
    with pytest.raises(NotPossible, match="The archive is not whole"):
        list(exports.lines(use, "csv", source=InBucket(bucket)))


def test_an_evidence_pack_refuses_or_reads_the_file(
    sqlite_world: World, archived: tuple[Download, Archived, Caller], bucket: LogBucket, tmp_path: Path
) -> None:
    """With the file it is the pack that it would have been, and verifies by itself."""
    (_, done, _), world = archived, sqlite_world
    period = done.month.since, done.month.until
    with pytest.raises(NotPossible, match="were archived"):
        evidence_packs.make(world.use, world.admin, "soc2", *period)
    assert world.records("evidence.export") == []
    pack = evidence_packs.make(world.use, world.admin, "soc2", *period, source=InBucket(bucket))
    for name, content in pack.files.items():
        (tmp_path / name).write_bytes(content)
    with world.use.database.reading() as session:
        found = evidence_checks.check(tmp_path, session.scalars(select(Log.vkey)).all())
    assert (found.faults, found.erased) == ([], 0)
    assert Month.of(world.clock()) != done.month
