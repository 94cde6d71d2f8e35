"""Exports: the file holds what was asked for, in bounded memory, as an act that the log has first."""

import csv
import io
import json
import tracemalloc

from server.domain.audit import exports
from server.domain.audit.log_entries import EntryFilter
from server.domain.downloads import issuing
from server.log import entries
from tests.world import World


def test_the_file_holds_what_was_asked_for(sqlite_world: World) -> None:
    """As JSON lines and as CSV, with the filters; sealed entries alone."""
    world = sqlite_world
    for _ in range(3):
        issuing.issue(world.use, world.caller("cleared"), world.order())
    world.seal()
    issuing.issue(world.use, world.caller("cleared"), world.order())
    visit = world.visit("auditor")
    made = visit.post("/audit/exports", {"format": "jsonl", "kind": "download", "organization": "aurora-institute"})
    assert made.headers["Content-Disposition"].startswith('attachment; filename="log-')
    openings = [json.loads(line) for line in made.text.splitlines()]
    sealed = [entry for entry in world.entries("download") if entry.leaf_index is not None]
    assert [opening["record"].encode() for opening in openings] == [entry.record for entry in sealed]
    assert len(sealed) == 3
    table = list(csv.DictReader(io.StringIO(visit.post("/audit/exports", {"format": "csv"}).text, newline="")))
    assert [int(row["index"]) for row in table] == [
        entry.leaf_index for entry in world.entries() if entry.leaf_index is not None
    ]


def test_it_is_an_entry_before_it_is_a_file(sqlite_world: World) -> None:
    """With the filter, and by whom; a GET exports nothing."""
    world, visit = sqlite_world, sqlite_world.visit("auditor")
    visit.get("/audit/exports?format=csv&kind=download")
    assert world.records("log.export") == []
    exports.chosen(world.use, world.person("auditor"), "csv", EntryFilter(kind="download"))  # and nobody reads a line
    (record,) = world.records("log.export")
    assert (record["format"], record["wanted"]) == ("csv", {"kind": "download"})
    assert record["actor"]["person"] == world.example.people["auditor"]["email"]


def test_what_is_sent_badly_exports_nothing(sqlite_world: World) -> None:
    """Without a format, with another, with a date that is none, by people who are not entitled, without our token."""
    world, visit = sqlite_world, sqlite_world.visit("auditor")
    for fields, status in (({"format": "xml"}, 422), ({"format": "csv", "since": "soon"}, 422),
                           ({"format": "csv", "organization": "nobody"}, 422), ({"format": "csv", "x": "1"}, 400),
                           ({"format": "csv", "person": "\0"}, 422)):  # fmt: skip
        assert visit.post("/audit/exports", fields).status_code == status, fields
    assert visit.post("/audit/exports", {"format": "csv"}, csrf="no").status_code in {400, 403}
    for name in ("cleared", "publisher"):
        assert world.visit(name).post("/audit/exports", {"format": "csv"}).status_code == 403
    visit.grow_stale()
    assert "application/" not in visit.post("/audit/exports", {"format": "csv"}).headers["Content-Type"]
    assert world.records("log.export") == []


def test_no_cell_is_a_formula(sqlite_world: World) -> None:
    """A name that a spreadsheet would compute is told as text."""
    world = sqlite_world
    world.tampered = True
    with world.use.database.transaction() as session:
        entries.append(session, kind="test", at=world.use.clock(), record={}, subject="=cmd|'/c calc'!A1")
    world.seal()
    lines = "".join(exports.chosen(world.use, world.person("auditor"), "csv", EntryFilter(kind="test")))
    (row,) = csv.DictReader(io.StringIO(lines, newline=""))
    assert row["subject"] == "'=cmd|'/c calc'!A1"


def test_a_large_export_is_read_in_parts(sqlite_world: World) -> None:
    """The memory that it takes does not grow with what it gives."""
    world = sqlite_world
    world.tampered = True
    with world.use.database.transaction() as session:
        for _ in range(1500):
            entries.append(session, kind="test", at=world.use.clock(), record={"text": "x" * 20_000})
    world.seal()
    tracemalloc.start()
    size_bytes = sum(map(len, exports.chosen(world.use, world.person("auditor"), "jsonl", EntryFilter(kind="test"))))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size_bytes > 30_000_000
    assert most < 12_000_000
