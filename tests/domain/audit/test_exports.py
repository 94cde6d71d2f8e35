"""Exports: what an auditor needs to open every commitment of the public tree, and nothing that computes."""

import base64
import csv
import io
import json
import tracemalloc
from datetime import timedelta
from typing import Any

import pytest

from server.domain.audit import erasure, exports
from server.domain.downloads import issuing
from server.domain.identity import organizations
from server.log import entries, tree
from server.log.entries import commitment_of
from server.log.sealing import newest_head
from tests import own_keys
from tests.own_keys import give_own_keys
from tests.world import World


def openings(world: World, **more: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in exports.lines(world.use, "jsonl", **more)]


def table(world: World) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO("".join(exports.lines(world.use, "csv")), newline="")))


def test_the_openings_give_the_public_tree(world: World) -> None:
    """Whoever has the export alone computes each commitment, and from them the root that was signed."""
    issuing.issue(world.use, world.caller("cleared"), world.order())
    world.seal()
    found = openings(world)
    assert [set(opening) for opening in found] == [{"log", "index", "salt", "record", "commitment"}] * len(found)
    assert [opening["index"] for opening in found] == list(range(len(found)))
    leaves = []
    for opening in found:
        commitment = base64.b64decode(opening["commitment"])
        assert commitment_of(base64.b64decode(opening["salt"]), opening["record"].encode()) == commitment
        leaves.append(tree.leaf_hash(commitment))
    grown = tree.CompactRange()
    grown.extend(leaves)
    with world.use.database.reading() as session:
        head = newest_head(session, 1)
    assert head is not None
    assert (head.size, head.root) == (len(found), grown.root())


def test_past_logs_and_erased_entries_are_in_it(world: World) -> None:
    """Log by log; of an erased entry the commitment alone, so that the tree can still be computed."""
    give_own_keys(world)
    made = issuing.issue(world.use, world.caller("cleared"), world.order())
    world.seal()
    erasure.erase(world.use, world.admin, made.id, "A request.")
    own_keys.rotate(world.use, "A new year.")
    world.seal()
    found = openings(world)
    origins = [opening["log"] for opening in found]
    assert origins == sorted(origins)
    assert len(set(origins)) == 2
    assert found[-1]["index"] == 0
    commitment = base64.b64encode(made.entry.commitment).decode()
    (erased,) = [opening for opening in found if opening["commitment"] == commitment]
    assert (erased["salt"], erased["record"]) == ("", "")


def test_an_export_of_a_time_holds_that_time(sqlite_world: World) -> None:
    """`since` is included, `until` is not; unsealed entries are never in it."""
    world = sqlite_world
    all_of_it = openings(world)
    at = world.entries()[len(all_of_it) // 2].appended_at
    early, late = openings(world, until=at), openings(world, since=at)
    assert early + late == all_of_it
    assert early
    assert late
    issuing.issue(world.use, world.caller("cleared"), world.order())
    assert openings(world) == all_of_it
    assert openings(world, since=world.clock() + timedelta(days=1)) == []


HOSTILE = ["=HYPERLINK(1)", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"]


@pytest.mark.parametrize("word", HOSTILE)
def test_no_cell_of_a_csv_is_a_formula(sqlite_world: World, word: str) -> None:
    """What a partner chose is text to a spreadsheet, in every column."""
    with sqlite_world.use.database.transaction() as session:
        entries.append(
            session, kind="test", at=sqlite_world.clock(), record={"actor": {"person": word}}, subject=word,
            stage=word, code=word,
        )  # fmt: skip
    sqlite_world.seal()
    row = table(sqlite_world)[-1]
    assert [row[name] for name in ("person", "subject", "stage", "code")] == [f"'{word}"] * 4
    assert not any(
        cell.startswith(("=", "+", "-", "@", "\t", "\r")) for row in table(sqlite_world) for cell in row.values()
    )


def test_a_csv_says_what_the_jsonl_says(sqlite_world: World) -> None:
    """Row by row, quotes and commas in a record included; its columns are named."""
    organizations.add(sqlite_world.use, sqlite_world.admin, "quoted", 'A "quoted", name')
    sqlite_world.seal()
    rows, lines = table(sqlite_world), openings(sqlite_world)
    assert len(rows) == len(lines)
    for row, opening in zip(rows, lines, strict=True):
        assert (row["log"], row["record"]) == (opening["log"], opening["record"])
        for name in ("salt", "commitment"):
            assert bytes.fromhex(row[f"{name}_hex"]) == base64.b64decode(opening[name])
        assert int(row["index"]) == opening["index"]
    assert rows[-1]["kind"] == "organization.add"
    assert rows[-1]["person"] == sqlite_world.admin.person


def test_memory_is_bounded_and_progress_is_told(sqlite_world: World) -> None:
    """Thousands of large entries pass through in little memory; the last word is that all is done."""
    sqlite_world.tampered = True  # more entries of no kind than are listed
    with sqlite_world.use.database.transaction() as session:
        for _ in range(3 * exports.ROWS_AT_ONCE):
            entries.append(session, kind="test", at=sqlite_world.clock(), record={"much": "x" * 10_000})
    sqlite_world.seal()
    told: list[tuple[int, int]] = []
    tracemalloc.start()
    size = sum(len(line) for line in exports.lines(sqlite_world.use, "jsonl", progress=lambda *part: told.append(part)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size > 15_000_000
    assert peak < size
    assert len(told) > 2
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1] == len(openings(sqlite_world))
