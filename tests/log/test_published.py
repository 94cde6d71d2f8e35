"""What is published: tiles and bundles of every width, heads, and proofs that two verifiers accept."""

import pytest
from weightgate.log import note as client_note
from weightgate.log import proof as client_proof
from weightgate.log.encoding import encode_base64

from server.log import entries, published, sealing, tiles, tree
from server.log.entries import Log, LogEntry
from server.log.notes import Signer
from server.log.proofs import Proof
from server.log.proofs import verify as verify_proof
from server.log.published import NotPublished
from server.log.tiles import ENTRIES, Tile
from tests import tampering
from tests.log import plain_tree
from tests.log.small_log import AT, SEED, SmallLog

SIZE = 515


@pytest.fixture
def log(sqlite_log: SmallLog) -> SmallLog:
    """515 sealed entries, and two that are not."""
    sqlite_log.append(SIZE)
    sqlite_log.seal()
    sqlite_log.append(2)
    return sqlite_log


def tile(log: SmallLog, level: int, index: int, width: int = tiles.WIDTH) -> bytes:
    with log.database.reading() as session:
        return published.tile(session, session.get_one(Log, log.id), Tile(level, index, width))


def test_a_tile_is_published_at_every_width_that_it_ever_had(log: SmallLog) -> None:
    """The narrower ones stay as they were: they may have been kept by somebody."""
    commitments = [entry.commitment for entry in log.sealed()]
    stored = plain_tree.tiles(commitments)
    for (level, number), data in stored.items():
        for width in range(1, len(data) // 32 + 1):
            assert tile(log, level, number, width) == data[: 32 * width]
    for number, data in plain_tree.bundles(commitments).items():
        for width in range(1, len(data) // 34 + 1):
            assert tile(log, ENTRIES, number, width) == data[: 34 * width]


@pytest.mark.parametrize(
    ("level", "index", "width"),
    [(0, 2, 4), (0, 2, 256), (0, 3, 1), (1, 0, 3), (1, 0, 256), (1, 1, 1), (2, 0, 1), (63, 0, 1),
     (ENTRIES, 2, 4), (ENTRIES, 3, 1), (0, tiles.MAX_INDEX, 256)],
)  # fmt: skip
def test_what_the_head_does_not_cover_is_not_published(log: SmallLog, level: int, index: int, width: int) -> None:
    """Not the next hash, not the next tile, not the next level; and not entries that wait."""
    with pytest.raises(NotPublished):
        tile(log, level, index, width)


def test_nothing_is_published_before_the_first_head(small_log: SmallLog) -> None:
    """Entries alone are nobody's business; an empty head is a head."""
    small_log.append()
    with small_log.database.reading() as session:
        log = session.get_one(Log, small_log.id)
        with pytest.raises(NotPublished):
            published.head(session, log)
        with pytest.raises(NotPublished):
            published.tile(session, log, Tile(0, 0, 1))


def test_a_log_is_found_by_its_name_or_as_the_newest(small_log: SmallLog) -> None:
    """A past log stays under its name; a part of a name, or another one, finds nothing."""
    later = Signer.from_seed(small_log.signer.key.name.replace("2026", "2027"), SEED)
    with small_log.database.transaction() as session:
        entries.open_log(session, str(later.key), "", AT)
    with small_log.database.reading() as session:
        assert published.find(session, None).name == "2027"
        assert published.find(session, "2026").id == small_log.id
        for name in ("202", "2028", "", "downloads/2026", "2026%"):
            with pytest.raises(NotPublished):
                published.find(session, name)


@pytest.mark.parametrize("size", [1, 2, 3, 8, 13, 257])
def test_a_proof_is_accepted_by_both_verifiers(sqlite_log: SmallLog, size: int) -> None:
    """By the server's and by the client's, which share nothing; for every entry of the tree."""
    sqlite_log.append(size)
    sqlite_log.seal()
    key = client_note.parse_vkey(str(sqlite_log.signer.key))
    for entry in sqlite_log.sealed()[-40:]:
        with sqlite_log.database.reading() as session:
            text = published.proof(session, entry)
        leaf = tree.leaf_hash(entry.commitment)
        assert verify_proof(text, leaf, sqlite_log.signer.key).size == size
        salt = Proof.parse(text).extra
        assert salt == entry.salt
        index, head = client_proof.require_included(text, leaf, encode_base64(entry.salt), key)
        assert (index, head.size) == (entry.leaf_index, size)


def test_an_entry_that_waits_has_no_proof(log: SmallLog) -> None:
    """Nor one whose place is beyond the head, whoever wrote it there."""
    with log.database.reading() as session:
        waiting = session.query(LogEntry).filter_by(leaf_index=None).first()
        assert waiting is not None
        with pytest.raises(NotPublished):
            published.proof(session, waiting)
    tampering.run(log.url, "UPDATE log_entries SET leaf_index = 515 WHERE id = 516")
    with log.database.reading() as session, pytest.raises(NotPublished):
        published.proof(session, session.get_one(LogEntry, 516))


def test_an_entry_that_was_emptied_still_has_its_place_proven(log: SmallLog) -> None:
    """Without the salt, which is gone: the commitment was and is in the log."""
    tampering.run(log.url, "UPDATE log_entries SET record = x'', salt = x'' WHERE id = 100")
    with log.database.reading() as session:
        entry = session.get_one(LogEntry, 100)
        text = published.proof(session, entry)
    assert Proof.parse(text).extra is None
    assert verify_proof(text, tree.leaf_hash(entry.commitment), log.signer.key).size == SIZE


def test_a_proof_of_a_past_log_is_against_that_log_s_head(small_log: SmallLog) -> None:
    """Whatever is appended and sealed in the log after it."""
    small_log.append(3)
    small_log.seal()
    later = Signer.from_seed(small_log.signer.key.name.replace("2026", "2027"), SEED)
    with small_log.database.transaction() as session:
        entries.open_log(session, str(later.key), "", AT)
    small_log.append(5, newest=True)
    assert sealing.seal(small_log.database, later, lambda: AT) == 5
    for entry in small_log.sealed():
        with small_log.database.reading() as session:
            text = published.proof(session, entry)
        assert verify_proof(text, tree.leaf_hash(entry.commitment), small_log.signer.key).size == 3
