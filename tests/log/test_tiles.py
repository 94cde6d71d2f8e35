"""Tiles: C2SP's geometry and paths, growing from the edge alone, and proofs read from a few of them."""

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from server.log import tiles, tree
from server.log.tiles import BadTile, NotATile, Position, Tile

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "tree.json").read_text(encoding="utf-8"))
COUNTED = VECTORS["counted"]
ROOTS = {case["size"]: bytes.fromhex(case["root_hex"]) for case in COUNTED["roots"]}
SIZE = 70_000
LEAVES = tree.leaf_hashes(sha256(number.to_bytes(8, "big")).digest() for number in range(SIZE))


def grown(size: int, batch: int, start: dict[Position, bytes] | None = None, begin: int = 0) -> dict[Position, bytes]:
    """Append batch after batch, giving `append` nothing but the edge."""
    stored = dict(start or {})
    for first in range(begin, size, batch):
        edge = {position: stored[position] for position in tiles.edge_tiles(first)}
        stored |= tiles.append(edge, first, LEAVES[first : min(first + batch, size)])
    return stored


@pytest.fixture(scope="module")
def stored() -> dict[Position, bytes]:
    return grown(SIZE, 1000)


@pytest.mark.parametrize("case", VECTORS["geometry"], ids=lambda case: str(case["size"]))
def test_a_size_has_the_tiles_that_the_specification_counts(case: dict[str, Any]) -> None:
    """Full and partial tiles of each level are those of the known geometry."""
    expected = [
        Tile(level, index, width)
        for level, row in enumerate(case["levels"])
        for index, width in [*((full, 256) for full in range(row["full"])), (row["full"], row["partial"])]
        if width
    ]
    assert list(tiles.tiles_of(case["size"])) == expected
    edge = [(level, row["full"]) for level, row in enumerate(case["levels"]) if row["partial"]]
    assert tiles.edge_tiles(case["size"]) == edge


@pytest.mark.parametrize("case", VECTORS["paths"], ids=lambda case: case["path"])
def test_a_tile_has_one_path(case: dict[str, Any]) -> None:
    """A tile is written as the specification writes it, and read back as itself."""
    level = tiles.ENTRIES if case["level"] == "entries" else case["level"]
    tile = Tile(level, case["index"], case["width"])
    assert tile.path == case["path"]
    assert tiles.parse_path(case["path"]) == tile


@pytest.mark.parametrize("path", VECTORS["refused_paths"], ids=repr)
def test_no_other_spelling_is_a_tile(path: str) -> None:
    """Padding, signs, other digits, a full width spelled out, a leading or trailing slash: refused."""
    with pytest.raises(NotATile):
        tiles.parse_path(path)


@pytest.mark.parametrize(
    ("tile", "size", "expected"),
    [
        (Tile(0, 0, 1), 0, False),
        (Tile(0, 0, 1), 1, True),
        (Tile(0, 0, 2), 1, False),
        (Tile(0, 0, 100), 200, True),
        (Tile(0, 0), 255, False),
        (Tile(0, 0), 256, True),
        (Tile(1, 0, 1), 255, False),
        (Tile(1, 0, 1), 256, True),
        (Tile(0, 273, 112), SIZE, True),
        (Tile(0, 273, 113), SIZE, False),
        (Tile(0, 274, 1), SIZE, False),
        (Tile(2, 0, 1), SIZE, True),
        (Tile(3, 0, 1), SIZE, False),
        (Tile(63, 0, 1), tree.MAX_SIZE, False),
        (Tile(tiles.ENTRIES, 273, 112), SIZE, True),
        (Tile(tiles.ENTRIES, 273, 113), SIZE, False),
    ],
)
def test_a_tile_exists_as_wide_as_the_tree_has_made_it(tile: Tile, size: int, expected: bool) -> None:
    """What is not in the tree yet cannot be asked for; what was once narrower still can."""
    assert tile.exists_in(size) is expected


@pytest.mark.parametrize("size", sorted(ROOTS))
def test_the_edge_gives_the_known_root(size: int, stored: dict[Position, bytes]) -> None:
    """At the sizes where tiles fill up and levels begin, the root from the edge tiles is Go's."""
    edge = {
        (level, index): stored[level, index][: tiles.width(level, index, size) * 32]
        for level, index in tiles.edge_tiles(size)
    }
    assert tiles.root_from_edge(size, edge) == ROOTS[size]


def test_an_empty_log_has_no_tiles_and_the_empty_root() -> None:
    """Before the first entry there is no edge; appending nothing changes nothing."""
    assert tiles.edge_tiles(0) == []
    assert tiles.root_from_edge(0, {}) == tree.EMPTY_ROOT
    assert tiles.append({}, 0, []) == {}


@pytest.mark.parametrize("batch", [1, 7, 255, 256, 257, 2000])
def test_batches_of_any_size_give_the_same_tiles(batch: int, stored: dict[Position, bytes]) -> None:
    """How the entries came in does not show in the tree."""
    assert grown(1500, batch) == {
        (tile.level, tile.index): stored[tile.level, tile.index][: tile.width * 32] for tile in tiles.tiles_of(1500)
    }


def test_one_batch_may_fill_several_levels(stored: dict[Position, bytes]) -> None:
    """A batch that completes 65,536 leaves writes the tiles of three levels at once."""
    assert grown(SIZE, SIZE) == stored
    before = grown(65_535, 65_535)
    assert grown(SIZE, 5000, before, 65_535) == stored


def test_only_the_tiles_that_change_are_given_back(stored: dict[Position, bytes]) -> None:
    """A full tile is never written again: one leaf more touches one tile, unless it fills it."""
    edge = {position: stored[position] for position in tiles.edge_tiles(SIZE)}
    assert list(tiles.append(edge, SIZE, LEAVES[:1])) == [(0, 273)]
    assert list(tiles.append(edge, SIZE, LEAVES[:144])) == [(0, 273), (1, 1)]


def test_a_tile_only_grows(stored: dict[Position, bytes]) -> None:
    """A partial tile is the beginning of what it becomes, so no partial tile needs to be kept."""
    edge = {position: stored[position] for position in tiles.edge_tiles(SIZE)}
    for position, data in tiles.append(edge, SIZE, LEAVES[:200]).items():
        assert data.startswith(stored.get(position, b""))


def test_no_tile_holds_the_hash_of_a_partial_one(stored: dict[Position, bytes]) -> None:
    """Level 1 has a hash for each full tile below and none for the partial one, or it would have to be rewritten."""
    assert len(stored[0, 273]) == 112 * 32
    assert len(stored[1, 1]) == 17 * 32
    assert len(stored[2, 0]) == 1 * 32


@pytest.mark.parametrize("spoil", [lambda data: data[:-32], lambda data: data + bytes(32), lambda data: data[:0]])
def test_an_edge_of_another_length_stops_everything(
    spoil: Callable[[bytes], bytes], stored: dict[Position, bytes]
) -> None:
    """An edge tile that is missing, short or too long for the size is never appended to, and gives no root."""
    edge = {position: stored[position] for position in tiles.edge_tiles(SIZE)}
    for position in edge:
        spoiled = edge | {position: spoil(edge[position])}
        with pytest.raises(BadTile, match=f"tile {position[0]}/{position[1]} has"):
            tiles.append(spoiled, SIZE, LEAVES[:1])
        with pytest.raises(BadTile):
            tiles.root_from_edge(SIZE, spoiled)


@pytest.mark.parametrize("case", COUNTED["inclusion"], ids=lambda case: str(case["index"]))
def test_inclusion_proofs_come_from_a_few_tiles(case: dict[str, Any], stored: dict[Position, bytes]) -> None:
    """The proof is Go's, hash by hash, and needs at most two tiles a level, each read once."""
    asked: list[Position] = []

    def read(level: int, index: int) -> bytes:
        asked.append((level, index))
        return stored[level, index]

    proof = tree.inclusion_proof(case["index"], case["size"], tiles.hashes(read))
    assert proof == [bytes.fromhex(part) for part in case["proof_hex"]]
    assert len(asked) == len(set(asked)) <= 6


@pytest.mark.parametrize("case", COUNTED["consistency"], ids=lambda case: str(case["old_size"]))
def test_consistency_proofs_come_from_the_tiles(case: dict[str, Any], stored: dict[Position, bytes]) -> None:
    """The proof between two sizes is Go's, hash by hash."""
    read = tiles.hashes(lambda level, index: stored[level, index])
    proof = tree.consistency_proof(case["old_size"], case["new_size"], read)
    assert proof == [bytes.fromhex(part) for part in case["proof_hex"]]


def test_tiles_that_have_grown_since_prove_an_older_head(stored: dict[Position, bytes]) -> None:
    """Proofs and roots of an earlier size are read from today's tiles, which are wider."""
    read = tiles.hashes(lambda level, index: stored[level, index])
    assert tree.root_at(257, read) == ROOTS[257]
    tree.verify_inclusion(LEAVES[256], 256, 257, tree.inclusion_proof(256, 257, read), ROOTS[257])


def test_a_tile_that_is_too_short_proves_nothing(stored: dict[Position, bytes]) -> None:
    """A tile that lost its end is named, and no hash is made from what is left of it."""
    read = tiles.hashes(lambda level, index: stored[level, index][:-32])
    with pytest.raises(BadTile, match="tile 0/0 has fewer"):
        tree.inclusion_proof(254, SIZE, read)


def test_a_bundle_is_lengths_and_entries() -> None:
    """Ours are 00 20 and 32 bytes for each entry; others have any length up to 65,535."""
    commitments = [bytes([number]) * 32 for number in range(3)]
    assert tiles.encode_bundle(commitments) == b"".join(b"\x00\x20" + commitment for commitment in commitments)
    assert tiles.encode_bundle([b"", b"a", bytes(65_535)]) == b"\x00\x00\x00\x01a\xff\xff" + bytes(65_535)


def test_an_entry_that_its_length_cannot_tell_is_refused() -> None:
    """65,536 bytes would be written as none."""
    with pytest.raises(ValueError, match="65535"):
        tiles.encode_bundle([bytes(65_536)])
