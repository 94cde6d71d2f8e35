"""Erasure: what the law demands is gone, the tree stays, and nothing is emptied that no sealed entry tells of."""

import json
from datetime import timedelta
from pathlib import Path

import orjson
import pytest
from sqlalchemy import update

from server.domain.audit import erasure, replay
from server.domain.delivery import deliveries, reconciliation, suspicions
from server.domain.downloads import issuing
from server.domain.errors import InvalidRequest, NotFound, NotPermitted, NotPossible
from server.domain.paging import Slice
from server.domain.release import tiers
from server.log import sealing
from server.log.entries import LogEntry
from server.log.proofs import Proof
from server.log.sealing import SealingStopped
from server.storage.database import DATABASE_ERRORS, DatabaseUnavailable
from tests.access_log_lines import Wanted, s3_line
from tests.world import World

BECAUSE = "Request 17 under Article 17."


def download(world: World) -> LogEntry:
    """A sealed download, by its entry."""
    made = issuing.issue(world.use, world.caller("cleared"), world.order())
    world.seal()
    return next(entry for entry in world.entries("download") if entry.subject == made.id)


def erase(world: World, which: LogEntry | str | None) -> erasure.Erased:
    return erasure.erase(world.use, world.admin, named(world, which), BECAUSE)


def named(world: World, which: LogEntry | str | None) -> str:
    """An entry by its place in its log, as people name it."""
    return f"{world.clock().year}/{which.leaf_index}" if isinstance(which, LogEntry) else str(which)


def test_an_erased_entry_is_empty_and_the_log_verifies(world: World) -> None:
    """Record, salt and person are gone; place and commitment stay; a sealed entry says who, why and of which kind."""
    before = download(world)
    done = erase(world, before.subject)
    assert (done.place, done.kind) == (named(world, before), "download")
    after = next(entry for entry in world.entries() if entry.id == before.id)
    assert (after.record, after.salt, after.person) == (b"", b"", None)
    assert (after.commitment, after.leaf_index, after.subject) == (before.commitment, before.leaf_index, before.subject)
    told = world.entries("entry.erase")[0]
    assert told.leaf_index is not None
    record = orjson.loads(told.record)
    assert (record["entry"], record["erased"], record["because"]) == (before.id, "download", BECAUSE)
    assert record["actor"]["person"] == world.admin.person
    assert world.faults() == []


def test_nothing_of_it_is_left_in_the_database_file(sqlite_world: World) -> None:
    """What was emptied is overwritten, not only unlinked; the record is not in the file once it is checkpointed."""
    entry = download(sqlite_world)
    needle = entry.salt
    erase(sqlite_world, entry)
    sqlite_world.use.close()  # the last connection's end empties the write-ahead log into the file
    path = Path(sqlite_world.settings.database_url.removeprefix("sqlite:///"))
    assert path.stat().st_size > 0
    assert needle not in path.read_bytes()
    assert entry.commitment in path.read_bytes()


def test_whoever_reads_the_log_copes(world: World) -> None:
    """An erased download is in no list, can be neither renewed nor shown, and still has a proof of its place."""
    entry, caller = download(world), world.caller("cleared")
    kept = download(world)
    erase(world, entry)
    assert entry.subject is not None
    with world.use.database.reading() as session:
        shown = issuing.visible(session, caller, Slice(200)).items
        assert kept.subject in {record["download"] for record in shown}
        assert entry.subject not in {record["download"] for record in shown}
        assert deliveries.of_download(session, entry.subject) is None
        assert Proof.parse(issuing.proof(session, caller, entry.subject)).index == entry.leaf_index
        found = suspicions.issued(session, {entry.subject: {"a"}})[entry.subject]
        assert found.erased
    with pytest.raises(NotFound):
        issuing.renew(world.use, caller, entry.subject, None)


def test_reads_of_an_erased_download_raise_no_alarm(sqlite_world: World, tmp_path: Path) -> None:
    """Nothing can be said of them any more: neither that they were allowed, nor that they were not."""
    entry = download(sqlite_world)
    key = json.loads(entry.record)["files"][0]["object_key"]
    line = s3_line(Wanted(sqlite_world.clock() + timedelta(seconds=2), key, entry.subject, address="198.51.100.7"))
    (tmp_path / "access.log").write_text(line + "\n")
    erase(sqlite_world, entry)
    summary = reconciliation.reconcile(sqlite_world.use, [str(tmp_path / "access.log")])
    assert (summary.lines, summary.matched, summary.unmatched, summary.alarms) == (1, 0, 1, {})


def test_what_others_are_judged_by_stays(sqlite_world: World) -> None:
    """Of all kinds in the worked example, none that the audit needs and none about the log can be emptied."""
    world = sqlite_world
    tiers.add(world.use, world.admin, "gold", 99)
    world.seal()
    refused = {}
    for entry in {entry.kind: entry for entry in world.entries()}.values():
        if not erasure.may_be_erased(entry.kind):
            refused[entry.kind] = entry
    assert {"tier.add", "clearance.approve", "instance.begin", "decision.execute"} <= set(refused)
    assert {"hold.place", "signature.end", "organization.suspend"} <= replay.JUDGING
    assert not any(map(erasure.may_be_erased, [*replay.JUDGING, "entry.erase", "log.open", "log.close", "log.resume"]))
    for entry in refused.values():
        with pytest.raises(NotPossible, match="needed to verify other entries"):
            erase(world, entry)
    assert world.entries("entry.erase") == []


def test_an_entry_is_erased_once(world: World) -> None:
    """A second time is refused, and adds nothing to the log."""
    entry = download(world)
    erase(world, entry)
    with pytest.raises(NotPossible, match="already"):
        erase(world, entry)
    assert len(world.entries("entry.erase")) == 1


def test_an_erasure_that_is_told_is_finished(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a sealed entry tells of it and the row is still full, the same command empties it and tells it once."""
    entry = download(world)
    with monkeypatch.context() as patch:
        patch.setattr(erasure, "_empty", lambda *_: None)
        erase(world, entry)
    erase(world, entry)
    assert len(world.entries("entry.erase")) == 1
    assert next(found for found in world.entries() if found.id == entry.id).record == b""


def test_a_failure_leaves_neither_half(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the row cannot be emptied, no entry says that it was."""
    entry = download(world)

    def fail(*_: object) -> None:
        raise DatabaseUnavailable("the disk is full")

    monkeypatch.setattr(erasure, "_empty", fail)
    with pytest.raises(DatabaseUnavailable):
        erase(world, entry)
    assert world.entries("entry.erase") == []
    assert next(found for found in world.entries() if found.id == entry.id).record == entry.record


def test_without_an_entry_that_tells_it_nothing_can_be_emptied(world: World) -> None:
    """The database itself refuses, whoever asks with whatever role."""
    entry = download(world)
    with pytest.raises((*DATABASE_ERRORS, DatabaseUnavailable)), world.use.database.transaction() as session:
        session.execute(update(LogEntry).where(LogEntry.id == entry.id).values(record=b"", salt=b"", person=None))


@pytest.mark.parametrize(
    "which",
    [
        "999999999",
        "0",
        "71",
        "2026/71/1",
        "1999/1",
        "2026/999999",
        "/1",
        "2026/",
        "2026/+1",
        "0" * 40,
        "-1",
        "x",
        "",
        "01900000-0000-7000-8000-000000000000",
    ],
)
def test_what_is_not_there_is_not_erased(sqlite_world: World, which: str) -> None:
    """Neither a place of nothing, nor a row's number, which is not its place, nor a text that is neither."""
    with pytest.raises(NotFound):
        erase(sqlite_world, which)


def test_an_unsealed_entry_waits(sqlite_world: World) -> None:
    """What has no place in the tree yet cannot be emptied: its commitment would be sealed over nothing."""
    made = issuing.issue(sqlite_world.use, sqlite_world.caller("cleared"), sqlite_world.order())
    with pytest.raises(NotPossible, match="not sealed"):
        erase(sqlite_world, made.id)


def test_in_a_stopped_log_nothing_is_erased(sqlite_world: World) -> None:
    """Whoever looks into what happened needs everything that is there."""
    entry = download(sqlite_world)
    origin = sqlite_world.use.settings.log_host + f"/downloads/{sqlite_world.clock().year}"
    sealing.stop(sqlite_world.use.database, origin, "a test", sqlite_world.clock())
    sqlite_world.tampered = True
    with pytest.raises(SealingStopped):
        erase(sqlite_world, entry)
    assert sqlite_world.entries("entry.erase") == []


def test_an_erasure_says_why_and_is_an_admin_s(sqlite_world: World) -> None:
    """Without a reason, or by anybody else, nothing is emptied."""
    entry = download(sqlite_world)
    with pytest.raises(InvalidRequest):
        erasure.erase(sqlite_world.use, sqlite_world.admin, named(sqlite_world, entry), " ")
    for who in ("publisher", "auditor", "cleared"):
        with pytest.raises(NotPermitted):
            erasure.erase(sqlite_world.use, sqlite_world.person(who), named(sqlite_world, entry), BECAUSE)
    assert json.loads(sqlite_world.entries("download")[-1].record)["download"] == entry.subject
