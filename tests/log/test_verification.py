"""Verification: whatever was changed in what is stored of a log, it is named, and nothing else is."""

import shutil
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from server.log import entries, heads, sealing, verification
from server.log.entries import Log
from server.log.heads import Head
from server.log.notes import Signer, VerifierKey
from server.log.verification import ERASURE, Fault, MissingEntries
from tests import tampering
from tests.log import plain_tree
from tests.log.small_log import AT, SmallLog

MakeDatabase = Callable[[], str]
SIZES = [250, 257, 600]


def verify(log: SmallLog, key: VerifierKey | None = None) -> list[Fault]:
    with log.database.reading() as session:
        return list(verification.verify(session, session.get_one(Log, log.id), key or log.signer.key))


def found(log: SmallLog) -> dict[str, str]:
    """What is named, with the first sentence about it."""
    return {fault.row: fault.sentence for fault in reversed(verify(log))}


@pytest.fixture(scope="module")
def sealed_sqlite(new_sqlite: MakeDatabase) -> SmallLog:
    """600 entries under three heads, and three that are not sealed yet. Entry `id` is at place `id - 1`."""
    log = SmallLog(new_sqlite())
    size = 0
    for after in SIZES:
        log.append(after - size)
        log.seal()
        size = after
    log.append(3)
    log.close()  # so that all of it is in the one file
    return log


@pytest.fixture
def log(sealed_sqlite: SmallLog, tmp_path: Path) -> Iterator[SmallLog]:
    path = tmp_path / "copy.sqlite3"
    shutil.copyfile(sealed_sqlite.url.removeprefix("sqlite:///"), path)
    made = SmallLog(f"sqlite:///{path}", sealed_sqlite.signer.key.name)
    yield made
    made.close()


def test_a_whole_log_has_no_fault(small_log: SmallLog) -> None:
    """Empty, unsealed, sealed, over several tiles and heads; how far it has come is told."""
    assert verify(small_log) == []
    small_log.append(3)
    assert verify(small_log) == []
    small_log.seal()
    small_log.append(300)
    small_log.seal()
    small_log.append(1)
    assert verify(small_log) == []
    told: list[tuple[int, int]] = []
    with small_log.database.reading() as session:
        log = session.get_one(Log, small_log.id)
        list(verification.verify(session, log, small_log.signer.key, lambda *at: told.append(at)))
    assert told[-1] == (303, 303)


OF_ENTRIES, OF_TILES = "it does not match the entries", "it does not match the tiles below it"
CHANGED = "its record or salt was changed"
EDITS: dict[str, tuple[Callable[[SmallLog], None], dict[str, str]]] = {
    "a record": (lambda log: tampering.flip(log.url, "log_entries", "record", "id = 17"), {"entry 16": CHANGED}),
    "the last record": (lambda log: tampering.flip(log.url, "log_entries", "record", "id = 600"),
                        {"entry 599": CHANGED}),
    "a salt": (lambda log: tampering.flip(log.url, "log_entries", "salt", "id = 300"), {"entry 299": CHANGED}),
    "a waiting record": (lambda log: tampering.flip(log.url, "log_entries", "record", "id = 602"),
                         {"an unsealed entry (row 602)": CHANGED + " before it was sealed"}),
    "a tile of level 0": (lambda log: flip_tile(log, 0, 1), {"tile 0/1": OF_ENTRIES, "tile 1/0": OF_TILES}),
    "a tile at the edge": (lambda log: flip_tile(log, 0, 2), {"tile 0/2": OF_ENTRIES}),
    "a tile of level 1": (lambda log: flip_tile(log, 1, 0), {"tile 1/0": OF_TILES}),
    "a tile that is gone": (lambda log: run(log, "DELETE FROM log_tiles WHERE level = 1"),
                            {"tile 1/0": OF_TILES}),
    "a tile that goes on": (lambda log: run(log, "UPDATE log_tiles SET data = data || zeroblob(32) WHERE level = 0 AND number = 2"),  # noqa: E501
                            {"tile 0/2": OF_ENTRIES}),
    "an older root": (lambda log: tampering.flip(log.url, "log_heads", "root", "size = 257"),
                      {"head of size 257": "its note was signed for a different size or root"}),
    "a root of another size": (lambda log: run(log, "UPDATE log_heads SET size = 256 WHERE size = 257"),
                               {"head of size 256": "its note was signed for a different size or root"}),
    "a note": (lambda log: run(log, "UPDATE log_heads SET note = 'nothing' WHERE size = 257"),
               {"head of size 257": "its note is not signed by the log's key"}),
    "a note of bytes": (lambda log: run(log, "UPDATE log_heads SET note = x'00' WHERE size = 257"),
                        {"head of size 257": "its note is not signed by the log's key"}),
    "a record in an editor": (lambda log: run(log, "UPDATE log_entries SET record = replace(record, 'test', 'text') WHERE id = 17"),  # noqa: E501
                              {"entry 16": CHANGED}),
    "a waiting record in an editor": (lambda log: run(log, "UPDATE log_entries SET record = 'text' WHERE id = 602"),
                                      {"an unsealed entry (row 602)": CHANGED + " before it was sealed"}),
    "a tile of text": (lambda log: run(log, "UPDATE log_tiles SET data = 'text' WHERE level = 1"),
                       {"tile 1/0": OF_TILES}),
    "a kind": (lambda log: run(log, "UPDATE log_entries SET kind = 'other' WHERE id = 17"),
               {"entry 16": "its kind column differs from its record"}),
    "a person": (lambda log: run(log, "UPDATE log_entries SET person = 'eve@example.org' WHERE id = 602"),
                 {"an unsealed entry (row 602)": "its person column differs from its record"}),
    "a time": (lambda log: run(log, "UPDATE log_entries SET appended_at = '2026-01-01 00:00:00' WHERE id = 17"),
               {"entry 16": "its time column differs from its record"}),
    "a place beyond": (lambda log: run(log, "UPDATE log_entries SET leaf_index = 600 WHERE id = 601"),
                       {"an unsealed entry (row 601)": "it has a position outside the 600 sealed entries"}),
    "a place before": (lambda log: run(log, "UPDATE log_entries SET leaf_index = -1 WHERE id = 601"),
                       {"an unsealed entry (row 601)": "it has a position outside the 600 sealed entries"}),
    "an emptied entry": (lambda log: run(log, "UPDATE log_entries SET record = x'', salt = x'' WHERE id = 5"),
                         {"entry 4": "it was erased without an entry that records the erasure"}),
}  # fmt: skip


def run(log: SmallLog, *statements: str) -> None:
    tampering.run(log.url, *statements)


def flip_tile(log: SmallLog, level: int, number: int) -> None:
    tampering.flip(log.url, "log_tiles", "data", f"level = {level} AND number = {number}", at=-1)


@pytest.mark.parametrize("what", EDITS)
def test_what_was_edited_is_named(log: SmallLog, what: str) -> None:
    """The row, and what is wrong with it."""
    change, expected = EDITS[what]
    change(log)
    assert found(log) == expected


def forge(log: SmallLog, entry: int) -> bytes:
    """Write an entry anew, so that it is whole in itself; returns its commitment."""
    ((record,),) = tampering.run(log.url, f"SELECT record FROM log_entries WHERE id = {entry}")  # noqa: S608
    forged = record.replace(b'"version":1', b'"version":2')
    made = sha256(b"weightgate-commit/v1\n" + bytes(32) + forged).digest()
    statement = f"UPDATE log_entries SET record = :record, salt = :salt, commitment = :made WHERE id = {entry}"  # noqa: S608
    tampering.run(log.url, statement, record=forged, salt=bytes(32), made=made)
    return made


def test_a_whole_entry_that_was_written_anew_is_named(log: SmallLog) -> None:
    """Record, salt and commitment that agree: then its tile and every head over it do not."""
    forge(log, 255)
    assert set(found(log)) == {"tile 0/0", "head of size 257", "head of size 600"}


def test_entries_that_changed_places_are_named(log: SmallLog) -> None:
    """By the tiles they are in and the heads over them: each entry is whole in itself."""
    run(
        log,
        "UPDATE log_entries SET leaf_index = 9999 WHERE id = 10",
        "UPDATE log_entries SET leaf_index = 9 WHERE id = 300",
        "UPDATE log_entries SET leaf_index = 299 WHERE id = 10",
    )
    heads_over = {f"head of size {size}" for size in SIZES}
    assert set(found(log)) - {f"entry {number}" for number in range(600)} == {"tile 0/0", "tile 0/1"} | heads_over


@pytest.mark.parametrize(
    ("entry", "sentence"), [(1, "position 0 is"), (300, "position 299 is"), (600, "position 599 on are")]
)
def test_an_entry_that_is_gone_is_named(log: SmallLog, entry: int, sentence: str) -> None:
    """Nothing after a hole can be verified, so this ends it."""
    run(log, f"DELETE FROM log_entries WHERE id = {entry}")  # noqa: S608
    with pytest.raises(MissingEntries, match=sentence):
        verify(log)


def test_a_head_by_another_key_is_named(log: SmallLog) -> None:
    """Each of them, when the key that is given is not the one that signed."""
    assert {fault.sentence for fault in verify(log, Signer.from_seed(log.signer.key.name, bytes(32)).key)} == {
        "its note is not signed by the log's key"
    }


def sign_over(log: SmallLog, size: int, root: bytes) -> None:
    """Put a head into the place of another, signed with the log's own, stolen key."""
    note = heads.sign(Head(log.signer.key.name, size, root), log.signer).decode()
    tampering.run(
        log.url, f"UPDATE log_heads SET root = :root, note = :note WHERE size = {size}", root=root, note=note  # noqa: S608
    )  # fmt: skip


@pytest.mark.parametrize("size", SIZES)
def test_a_fork_signed_with_the_stolen_key_is_named(log: SmallLog, size: int) -> None:
    """A good signature does not make another root that of the entries."""
    sign_over(log, size, bytes(32))
    assert found(log) == {f"head of size {size}": "its root does not match the entries up to that point"}


@pytest.mark.parametrize(("entry", "named"), [(401, set()), (101, {"head of size 250", "head of size 257"})])
def test_a_log_rewritten_with_the_stolen_key_is_named_by_older_heads(
    log: SmallLog, entry: int, named: set[str]
) -> None:
    """All rows, tiles and the newest head agree with each other; those before it were signed over what had been there.

    After the last of those, a rewritten log is one for anchors and partners to find.
    """
    commitments = [sealed.commitment for sealed in log.sealed()]
    commitments[entry - 1] = forge(log, entry)
    for (level, number), data in plain_tree.tiles(commitments).items():
        tampering.run(
            log.url, f"UPDATE log_tiles SET data = :data WHERE level = {level} AND number = {number}", data=data  # noqa: S608
        )  # fmt: skip
    sign_over(log, 600, plain_tree.root(commitments))
    assert set(found(log)) == named


def test_a_head_over_more_entries_than_there_are_is_named(log: SmallLog) -> None:
    """Signed or not: what it was signed over is missing."""
    note = heads.sign(Head(log.signer.key.name, 601, bytes(32)), log.signer).decode()
    tampering.run(
        log.url,
        "INSERT INTO log_heads (id, log_id, size, root, note, sealed_at) "
        "SELECT 99, log_id, 601, :root, :note, sealed_at FROM log_heads WHERE size = 600",
        root=bytes(32), note=note,
    )  # fmt: skip
    with pytest.raises(MissingEntries, match="from position 600 on are missing; the head says 601"):
        verify(log)


def test_an_emptied_entry_is_fine_where_a_sealed_entry_says_so(log: SmallLog) -> None:
    """Not before that entry is sealed, and not by one that was itself changed."""
    with log.database.transaction() as session:
        entries.append(session, kind=ERASURE, at=AT, record={"entry": 5}, subject="5")
    run(log, "UPDATE log_entries SET record = x'', salt = x'' WHERE id = 5")
    assert set(found(log)) == {"entry 4"}
    sealing.seal(log.database, log.signer, lambda: AT)
    assert found(log) == {}
    tampering.flip(log.url, "log_entries", "record", f"kind = '{ERASURE}'")
    assert set(found(log)) == {"entry 4", "entry 603"}


# One tile at a time, as the worker looks again ------------------------------------------------------------------------


def tile_faults(log: SmallLog) -> list[str]:
    with log.database.reading() as session:
        every = [
            verification.tile_fault(session, log.id, number, 600) for number in range(verification.tile_count(600))
        ]
    return [fault.row for fault in every if fault is not None]


@pytest.mark.parametrize(
    ("size", "count"), [(0, 0), (1, 1), (255, 1), (256, 1), (257, 2), (600, 3), (65_536, 256), (65_537, 257)]
)
def test_a_tree_has_so_many_tiles_of_entries(size: int, count: int) -> None:
    """Each 256 entries or fewer are one."""
    assert verification.tile_count(size) == count


def test_tile_by_tile_a_whole_log_has_no_fault(log: SmallLog) -> None:
    """The last and narrower tile as well."""
    assert tile_faults(log) == []


@pytest.mark.parametrize(
    ("statement", "rows"),
    [
        ("UPDATE log_entries SET record = x'00' WHERE id = 17", ["entry 16"]),
        ("UPDATE log_entries SET salt = x'00' WHERE id = 600", ["entry 599"]),
        ("UPDATE log_entries SET commitment = x'00' WHERE id = 300", ["entry 299"]),
        ("DELETE FROM log_entries WHERE id = 300", ["tile 0/1"]),
        ("DELETE FROM log_entries WHERE id = 600", ["tile 0/2"]),
        ("UPDATE log_tiles SET data = zeroblob(8192) WHERE level = 0 AND number = 0", ["tile 0/0"]),
        ("UPDATE log_tiles SET data = zeroblob(64) WHERE level = 1", ["tile 1/0", "tile 1/0"]),
        ("DELETE FROM log_tiles WHERE level = 1", ["tile 1/0", "tile 1/0"]),
        ("DELETE FROM log_tiles WHERE level = 0 AND number = 2", ["tile 0/2"]),
    ],
)
def test_tile_by_tile_what_was_edited_is_named(log: SmallLog, statement: str, rows: list[str]) -> None:
    """A tile of entries finds its rows, itself, and its hash in the tile above."""
    run(log, statement)
    assert tile_faults(log) == rows


@pytest.mark.fault
def test_a_full_tile_of_level_1_is_verified_up_to_level_2(new_sqlite: MakeDatabase) -> None:
    """From 65,536 entries on there is a third level, and a byte there is found by each tile below it."""
    log = SmallLog(new_sqlite())
    for _ in range(66):
        log.append(1000)
        log.seal()
    assert verify(log) == []
    with log.database.reading() as session:
        assert all(verification.tile_fault(session, log.id, number, 66_000) is None for number in (0, 255, 256, 257))
    flip_tile(log, 2, 0)
    assert set(found(log)) == {"tile 2/0"}
    with log.database.reading() as session:
        fault = verification.tile_fault(session, log.id, 7, 66_000)
        assert fault is not None
        assert fault.row == "tile 2/0"
        assert verification.tile_fault(session, log.id, 257, 66_000) is None
    log.close()
