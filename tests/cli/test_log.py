"""`log`: verify, export, reconcile, status, resume, erase; what they print, and their exit codes."""

import json
import os
import re
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet
import pytest

from server import dates
from server.domain.audit import heartbeat, logs, months, sealer, verifying
from server.domain.audit.verifying import Verified
from server.domain.delivery import statistics
from server.domain.downloads import issuing
from server.domain.resources import Resources
from server.log import sealing
from server.log.anchors import Forked
from server.log.verification import Fault
from tests import own_keys, tampering
from tests.access_log_lines import SIGNER, Wanted, s3_line
from tests.archived_months import copied, grow_old, issue, months_of
from tests.cli.operator import Operator
from tests.own_keys import give_own_keys
from tests.small_disk import Disk
from tests.world import World


def flip(world: World, entry_id: int = 3) -> None:
    """Change a sealed entry past every guard."""
    world.tampered = True
    tampering.flip(world.settings.database_url, "log_entries", "record", f"id = {entry_id}", at=-2)


def stop(world: World, reason: str = "a test") -> None:
    sealing.stop(world.use.database, f"localhost/downloads/{world.clock().year}", reason, world.clock())


def test_a_whole_log_verifies(operator: Operator, sqlite_world: World) -> None:
    """Exit 0, with how much was verified; nothing on standard error but a terminal's bars."""
    count = len(sqlite_world.entries())
    answer = operator("log", "verify")
    assert answer.out == f"Verified {count} sealed entries in 1 log: no faults.\n"
    assert answer.err == ""
    body = operator("log", "verify", "--json").body
    assert body["ok"] is True
    assert body["faults"] == []
    assert body["logs"] == [
        {"origin": f"localhost/downloads/{sqlite_world.clock().year}", "size": count, "abandoned": False}
    ]


def test_a_row_that_was_edited_is_named(operator: Operator, sqlite_world: World) -> None:
    """Exit 1 and the entry, for people and for scripts."""
    flip(sqlite_world)
    origin = f"localhost/downloads/{sqlite_world.clock().year}"
    answer = operator("log", "verify", code=1)
    assert f"FAULT: {origin}: entry 2: its record or salt was changed\n" in answer.out
    assert answer.out.endswith(": 1 fault.\n")
    body = operator("log", "verify", "--json", code=1).body
    first = {"log": origin, "row": "entry 2", "sentence": "its record or salt was changed", "known": False}
    assert (body["ok"], body["faults"][0]) == (False, first)


def test_faults_of_an_abandoned_log_are_known(operator: Operator, sqlite_world: World) -> None:
    """Exit 0: the next log begins with the entry that tells of it."""
    give_own_keys(sqlite_world)
    flip(sqlite_world)
    sealer.Recheck(sqlite_world.use).step()
    own_keys.rotate(sqlite_world.use, "It was changed.", abandon=True)
    answer = operator("log", "verify")
    assert "abandoned: localhost/downloads/" in answer.out
    assert answer.out.endswith(": no new faults.\n")
    assert [fault["known"] for fault in operator("log", "verify", "--json").body["faults"]] == [True]


def test_behind_an_anchor_is_exit_code_4(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its sentence and the way out; also when other faults were found."""
    sentence = "the log x has 1 entries, but 2 were anchored: an older backup was restored"
    found = [Verified("x", 1, faults=[Fault("entry 1", "y")], behind=sentence)]
    monkeypatch.setattr(verifying, "verify", lambda *_, **__: found)
    answer = operator("log", "verify", "--json", code=4)
    assert (answer.body["ok"], answer.body["behind_anchor"]) == (False, sentence)
    assert sentence in answer.err
    assert "An older backup was restored" in answer.err
    found[0].abandoned = True
    assert operator("log", "verify", "--json").body["ok"] is True


def test_an_export_is_written_whole_and_private(operator: Operator, sqlite_world: World, tmp_path: Path) -> None:
    """Mode 0600, as many lines as sealed entries; a file that is there is replaced, and nothing lies beside it."""
    target = tmp_path / "out" / "log.jsonl"
    target.parent.mkdir()
    target.with_name("log.jsonl.new").write_text("of a run that was killed")
    for _ in range(2):
        answer = operator("log", "export", "--to", target)
        assert answer.out == f"Exported {len(sqlite_world.entries())} entries to {target}.\n"
    lines = [json.loads(line) for line in target.read_text().splitlines()]
    assert len(lines) == len(sqlite_world.entries())
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert os.listdir(target.parent) == ["log.jsonl"]  # noqa: PTH208  # names alone
    assert operator("log", "export").out == target.read_text()
    late = operator("log", "export", "--since", (sqlite_world.clock() + timedelta(days=1)).isoformat())
    assert late.out == ""
    until = operator("log", "export", "--until", "2027-01-31", "--to", target)
    assert until.out == f"Exported {len(lines)} entries until 2027-02-01T00:00:00Z to {target}.\n"
    answer = operator("log", "export", "--format", "csv", "--to", target)
    assert f"Exported {len(lines)} entries" in answer.out
    assert target.read_text().startswith("log,index,time,kind,")


def test_an_export_that_fails_leaves_the_file_before_it(
    operator: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line, and neither a half file nor one beside."""
    target = tmp_path / "log.jsonl"
    target.write_text("before")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(os, "fsync", full)
    assert "No space left on device" in operator("log", "export", "--to", target, code=1).line
    assert target.read_text() == "before"
    assert list(tmp_path.glob("*.new")) == []


def test_access_logs_are_reconciled_once(operator: Operator, sqlite_world: World, tmp_path: Path) -> None:
    """What was fetched is counted, an unknown read is an alarm, and a second run finds nothing new."""
    made = issuing.issue(sqlite_world.use, sqlite_world.caller("cleared"), sqlite_world.order())
    record = json.loads(made.entry.record)
    file = record["files"][0]
    at = datetime.fromtimestamp(record["time"] / 1000 + 2, UTC)
    lines = [
        s3_line(Wanted(at, file["object_key"], made.id, file["size_bytes"])),
        s3_line(Wanted(at, "checkpoints/none", None, 10, request_id="8")),
        "\x1b[2J no line of any format",
    ]
    (tmp_path / "access.log").write_text("\n".join(lines) + "\n")
    out = operator("log", "reconcile", tmp_path / "access.log").out
    assert f"1 new reads of downloads, {file['size_bytes']} bytes; 1 of no download." in out
    assert "ALARM: ghost_read, 1 new" in out
    assert "\x1b" not in out
    body = operator("log", "reconcile", tmp_path / "access.log", "--json").body
    assert (body["lines"], body["matched"], body["duplicates"], body["alarms"]) == (3, 0, 2, {})
    status = operator("log", "status", "--json").body
    assert status["alarms"]["ghost_read"] == 1
    assert status["reconciled_at"] is not None
    sqlite_world.seal()
    (fault,) = operator("log", "verify", "--json", code=1).body["faults"]
    assert "the signing key may be compromised" in fault["sentence"]


def test_whose_reads_need_no_download_can_be_named(operator: Operator, tmp_path: Path) -> None:
    """The publisher of a store that logs no access key ids raises no alarm."""
    line = s3_line(Wanted(datetime.now(UTC), "checkpoints/none", None, 10, request_id="8"))
    (tmp_path / "access.log").write_text(line + "\n")
    body = operator("log", "reconcile", tmp_path / "access.log", "--own", SIGNER, "--json").body
    assert (body["own"], body["unmatched"], body["alarms"]) == (1, 0, {})


def test_a_log_that_cannot_be_read_to_its_end_is_exit_code_1(operator: Operator, tmp_path: Path) -> None:
    """The others are read all the same; a place that is not there is one line."""
    (tmp_path / "cut.gz").write_bytes(b"\x1f\x8b\x08\x00")
    assert "PROBLEM: " in operator("log", "reconcile", tmp_path, code=1).out
    assert "cannot be read" in operator("log", "reconcile", tmp_path / "none", code=1).line


def test_status_says_how_far_behind_the_charts_are(
    operator: Operator, sqlite_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a restore or an upgrade, until every entry is counted."""
    monkeypatch.setattr(statistics, "ENTRIES_AT_ONCE", 10)
    sqlite_world.seal()
    sealed = len(sqlite_world.entries())
    assert f"{sealed} entries still to be counted" in operator("log", "status").out
    statistics.count(sqlite_world.use)
    assert "still to be counted" not in operator("log", "status").out


def test_status_says_whether_anything_can_be_issued(operator: Operator, sqlite_world: World) -> None:
    """Exit 0 while it can; 1 with the reason once the log is stopped."""
    sqlite_world.seal()
    body = operator("log", "status", "--json").body
    assert body["can_issue"] is True
    assert (body["size"], body["stopped_at"], body["oldest_unsealed_at"]) == (len(sqlite_world.entries()), None, None)
    assert rows_of_status(operator)["last anchored"] == "not kept"
    stop(sqlite_world, "entry 2: its record or salt was changed")
    sqlite_world.tampered = True
    out = operator("log", "status", code=1).out
    assert "PROBLEM: the log is stopped: entry 2: its record or salt was changed" in out
    body = operator("log", "status", "--json", code=1).body
    assert body["can_issue"] is False
    assert body["stop_reason"] == "entry 2: its record or salt was changed"


def test_status_says_how_many_entries_wait_and_when_the_worker_was_last_at_work(
    operator: Operator, sqlite_world: World
) -> None:
    """Runbooks send people to these rows."""
    sqlite_world.seal()
    assert rows_of_status(operator).items() >= {"unsealed": "none", "last heartbeat": "never"}.items()
    at = sqlite_world.clock()
    heartbeat.beat(sqlite_world.use)
    rows = rows_of_status(operator)
    assert rows["unsealed"].startswith("1, the oldest since ")
    assert rows["last heartbeat"] == dates.rfc3339(at)


def test_status_says_when_the_log_was_last_anchored(operator: Operator, sqlite_world: World) -> None:
    """Not at what size alone: a log that does not grow is anchored all the same."""
    at = datetime(2027, 1, 31, 12, tzinfo=UTC)
    with sqlite_world.use.database.transaction() as session:
        logs.note_anchored(session, logs.current(session).id, 1, at)
    assert rows_of_status(operator)["last anchored"] == "2027-01-31T12:00:00Z"


def rows_of_status(operator: Operator) -> dict[str, str]:
    """What `log status` prints for people: the value of each row."""
    lines = operator("log", "status").out.splitlines()
    return dict(re.split(r"  +", line, maxsplit=1) for line in lines)


def test_resuming_refuses_while_anything_is_wrong(operator: Operator, sqlite_world: World) -> None:
    """The fault is named; once it is undone, the same command lets the log go on."""
    flip(sqlite_world)
    stop(sqlite_world)
    resume = ("log", "resume", "--because", "Mended.")
    assert "entry 2: its record or salt was changed" in operator(*resume, by="admin", code=1).line
    flip(sqlite_world)
    assert "verified and resumed" in operator(*resume, by="admin").out
    assert operator("log", "status", "--json").body["can_issue"] is True
    assert "not stopped" in operator(*resume, by="admin", code=1).line
    sqlite_world.tampered = False


def test_a_fork_is_one_line(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the anchors ends like every other that an operator can act on."""

    def forked(*_: object, **__: object) -> None:
        raise Forked("the log is not the one whose head was anchored at 7 entries")

    with monkeypatch.context() as patch:
        patch.setattr(verifying, "verify", forked)
        assert "anchored at 7 entries" in operator("log", "verify", code=1).line


def test_a_download_is_erased_by_its_id(operator: Operator, sqlite_world: World) -> None:
    """The line says which entry; the log verifies; a second time is refused."""
    made = issuing.issue(sqlite_world.use, sqlite_world.caller("cleared"), sqlite_world.order())
    sqlite_world.seal()
    erase = ("log", "erase", made.id, "--because", "A request.")
    place = sqlite_world.entries("download")[-1].leaf_index
    assert f"/{place}, of kind download, has been erased" in operator(*erase, by="admin").out
    assert "already been erased" in operator(*erase, by="admin", code=1).line
    operator("log", "verify")
    assert sqlite_world.records("entry.erase")[0]["actor"]["via"] == "cli"


def test_a_month_is_archived_read_back_and_exported(
    operator: Operator, sqlite_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each line says what to do next; whatever reads records reads the files where it is told to, or refuses."""
    world = sqlite_world
    monkeypatch.setattr(Resources.__init__, "__defaults__", (world.clock,))  # of the commands, too
    with months_of(world) as bucket:
        download = issue(world)
        month = grow_old(world)
        archive = ("log", "archive", month, "--because", "Kept for three months.")
        copy = ("--months", copied(bucket, tmp_path / "copy"))
        whole = operator("log", "export").out
        count = len(world.entries("download"))
        out = operator(*archive, by="admin").out
        assert f"{month} is archived in {month.folder}" in out
        assert f". {count} record{' was' if count == 1 else 's were'} removed from the database; the month has " in out
        assert "Nothing was left to remove." in operator(*archive, by="admin").out
        assert operator(*archive, "--json", by="admin").body["emptied"] == 0
        unread = (f"note: the record of 1 download of {month} was not read", f"note: the records of {count} downloads")
        assert unread[count > 1] in operator("log", "verify").out
        told = operator("log", "verify", "--json").body
        assert (told["unread"], told["ok"]) == (count, None)
        not_read = f"no faults in what was checked; {count} archived record{'' if count == 1 else 's'} not read.\n"
        assert operator("log", "verify").out.endswith(not_read)
        origin = operator("log", "verify", "--json").body["logs"][0]["origin"]
        sealing.stop(world.use.database, origin, "a test", world.clock())
        resume = ("log", "resume", "--because", "It was a test.")
        assert unread[count > 1] in operator(*resume, by="admin").out
        sealing.stop(world.use.database, origin, "a test", world.clock())
        assert operator(*resume, "--json", *copy, by="admin").body["notes"] == []
        for source in (copy, ("--from-bucket",)):
            read = operator("log", "verify", "--json", *source).body
            assert (read["notes"], read["unread"], read["ok"]) == ([], 0, True)
            assert operator("log", "export", *source).out.startswith(whole)
        assert "Use either --months or --from-bucket" in operator("log", "verify", "--from-bucket", *copy, code=2).err
        parquet = ("log", "export", "--format", "parquet", "--to", tmp_path / "x")
        assert "are Parquet already" in operator(*parquet, "--from-bucket", code=2).err
        (copy[1] / world.records("log.archive")[0]["file"]).unlink()
        assert "cannot be read\n" in operator("log", "verify", *copy, code=1).out
        assert "were archived" in operator("log", "export", "--to", tmp_path / "x", code=1).err
        assert "were archived" in operator("log", "export", "--format", "parquet", "--to", tmp_path / "x", code=1).err
        assert operator("log", "export", "--since", f"{month.until:%Y-%m-%d}").out
        erased = operator("log", "erase", download.id, "--because", "A request.", by="admin").out
        assert f"run `weightgate-server log archive {month}`" in erased
        assert "it still contains the erased data" in operator(*archive, by="admin").out


def test_tables_that_differ_are_faults_of_their_own(operator: Operator, sqlite_world: World) -> None:
    """`log verify` finds nothing when a table was changed; with `--tables` it names the row, and exits 1."""
    assert operator("log", "verify", "--tables", "--json").body["ok"]
    sqlite_world.tampered = True
    tampering.run(sqlite_world.settings.database_url, "UPDATE people SET role = 'admin' WHERE id = 3")
    assert "no faults" in operator("log", "verify").out
    told = operator("log", "verify", "--tables", "--json", code=1).body
    assert [fault["sentence"] for fault in told["faults"]] == ["its role differs from the log"]
    assert told["notes"] == []


def test_a_full_disk_under_an_export_is_named(operator: Operator, disk: Disk) -> None:
    """By the file that was asked for, in one line; half a file is not left there."""
    target = disk.folder / "log.jsonl"
    disk.fill()
    assert f"No space left on device: {target}" in operator("log", "export", "--to", target, code=1).line
    assert not target.exists()


def test_exposure_says_who_could_have_taken_a_stage_between_two_dates(operator: Operator) -> None:
    """For people and for scripts; only those who audit may ask, and only about a time that is one."""
    question = ("log", "exposure", "gpt-2/774M", "--from", "1h", "--to", "2d")
    assert "aurora-institute" in operator(*question, by="auditor").out
    body = operator(*question, "--json", by="admin").body
    assert [one["organization"] for one in body["organizations"]] == ["aurora-institute"]
    assert body["organizations"][0]["authorities"][0]["clearance"] == 1
    operator(*question, by="cleared", code=1)
    operator(*question[:3], "--from", "2d", "--to", "1h", by="auditor", code=1)
    operator(*question[:3], "--from", "2d", by="auditor", code=2)


def test_a_month_is_exported_as_parquet(operator: Operator, sqlite_world: World, tmp_path: Path) -> None:
    """Mode 0600, as many rows as the JSONL of that month has lines; a month before the log is an empty file."""
    target, month = tmp_path / "log.parquet", f"{sqlite_world.entries()[-1].appended_at:%Y-%m}"
    answer = operator("log", "export", "--format", "parquet", "--month", month, "--to", target)
    lines = operator("log", "export", "--month", month).out.splitlines()
    rows = pyarrow.parquet.read_table(target).to_pylist()
    assert [(row["leaf_index"], row["record"]) for row in rows] == [
        (line["index"], line["record"]) for line in map(json.loads, lines)
    ]
    assert answer.out.startswith(f"Exported {len(rows)} entries from {month}-01T00:00:00Z until ")
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.glob("log.parquet*")] == ["log.parquet"]
    operator("log", "export", "--format", "parquet", "--month", "2001-01", "--to", target)
    assert pyarrow.parquet.read_table(target).num_rows == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--format", "parquet"), "Parquet needs a file"),
        (("--month", "2027-13"), "is not a month"),
        (("--month", "2027-01", "--since", "2027-01-01"), "Use either --month"),
    ],
)
def test_wrong_use_of_months_is_exit_code_2(operator: Operator, words: tuple[str, ...], sentence: str) -> None:
    """One line each."""
    assert sentence in operator("log", "export", *words, code=2).line


def test_without_pyarrow_the_line_says_what_to_install(
    operator: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The extra is optional; nothing is left where the file would have been."""
    monkeypatch.setattr(months, "parquet_is_installed", lambda: False)
    answer = operator("log", "export", "--format", "parquet", "--to", tmp_path / "x.parquet", code=1)
    assert "Parquet needs pyarrow" in answer.line
    assert "`make install` installs it" in answer.line
    assert list(tmp_path.glob("x.parquet*")) == []
