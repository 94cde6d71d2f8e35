"""Tiles: the tree as rows of 256 hashes, in the geometry and under the paths of C2SP tlog-tiles.

Tile (level, index) holds the hashes of complete subtrees of 256**level leaves, from number 256 * index on. A tile only
grows, so the partial one of width W is the first 32 * W bytes of what it becomes.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from server.log import tree
from server.log.tree import HASH_BYTES

HEIGHT = 8
WIDTH = 1 << HEIGHT
TILE_BYTES = WIDTH * HASH_BYTES
ENTRIES = -1  # the level of entry bundles, which lie below level 0 and are as wide
MAX_LEVEL = 63
MAX_INDEX = tree.MAX_SIZE >> HEIGHT  # the last tile that a size below 2**63 can have
MAX_ENTRY_BYTES = 2**16 - 1

Position = tuple[int, int]
ReadTile = Callable[[int, int], bytes]  # (level, index) -> the tile's bytes; more than the asked size needs is fine

_PATH = re.compile(
    r"tile/(?P<level>entries|0|[1-9][0-9]?)/(?P<index>(?:x[0-9]{3}/){0,5}[0-9]{3})(?:\.p/(?P<width>[1-9][0-9]{0,2}))?"
)


class NotATile(ValueError):
    """The path names no tile, or not in the one form that a tile's path has."""


class BadTile(ValueError):
    """A stored tile is missing or has another length than the tree's size demands."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile or entry bundle as it is asked for. width: hashes (or entries), 1 to 256."""

    level: int
    index: int
    width: int = WIDTH

    @property
    def path(self) -> str:
        """Where it is served and stored, relative to the log. Source: C2SP tlog-tiles, Merkle Tree."""
        level = "entries" if self.level == ENTRIES else str(self.level)
        number, groups = self.index // 1000, [f"{self.index % 1000:03d}"]
        while number:
            groups.insert(0, f"x{number % 1000:03d}")
            number //= 1000
        partial = "" if self.width == WIDTH else f".p/{self.width}"
        return f"tile/{level}/{'/'.join(groups)}{partial}"

    def exists_in(self, size: int) -> bool:
        """Whether a tree of this size can give it: as it is now, or as it was when it was narrower."""
        return self.width <= width(self.level, self.index, size)


def parse_path(path: str) -> Tile:
    """Read `tile/…`. Raises NotATile for every other spelling: two names for one tile would be cached as two."""
    match = _PATH.fullmatch(path)
    if match is None:
        raise NotATile("not the path of a tile")
    level = ENTRIES if match["level"] == "entries" else int(match["level"])
    index = int(re.sub("[x/]", "", match["index"]))
    tile = Tile(level, index, int(match["width"] or WIDTH))
    if tile.path != path or level > MAX_LEVEL or index > MAX_INDEX or tile.width > WIDTH:
        raise NotATile("not the path of a tile")
    return tile


def width(level: int, index: int, size: int) -> int:
    """Return how many hashes this tile has in a tree of `size` leaves: 0 (no such tile) to 256."""
    return min(max(_count(level, size) - WIDTH * index, 0), WIDTH)


def tiles_of(size: int) -> Iterator[Tile]:
    """Give every tile of hashes that a tree of `size` leaves has, full and partial, from the lowest level up."""
    level = 0
    while count := _count(level, size):
        full, partial = divmod(count, WIDTH)
        yield from (Tile(level, index) for index in range(full))
        if partial:
            yield Tile(level, full, partial)
        level += 1


def edge_tiles(size: int) -> list[Position]:
    """Return the partial tiles, lowest first, at most one a level: all that appending and the root need."""
    levels = range((size.bit_length() + HEIGHT - 1) // HEIGHT)
    return [(level, _count(level, size) // WIDTH) for level in levels if _count(level, size) % WIDTH]


def append(edge: Mapping[Position, bytes], size: int, leaf_hashes: Iterable[bytes]) -> dict[Position, bytes]:
    """Return the tiles that change when leaves are appended, whole, as they are afterwards.

    edge: the bytes of `edge_tiles(size)`; what else is in it is not read. Raises BadTile when one does not fit the
    size, ValueError when a leaf hash is not 32 bytes.
    """
    _require_edge(edge, size)
    grown: dict[Position, bytes] = {}
    row, level = tree.joined(leaf_hashes), 0
    while row:
        index, present = divmod(_count(level, size), WIDTH)
        if present:
            row = edge[level, index] + row
        for at in range(0, len(row), TILE_BYTES):
            grown[level, index + at // TILE_BYTES] = row[at : at + TILE_BYTES]
        row = row[: len(row) - len(row) % TILE_BYTES]
        for _ in range(HEIGHT):  # a partial tile is never hashed into the level above
            row = tree.parents(row)
        level += 1
    return grown


def root_from_edge(size: int, edge: Mapping[Position, bytes]) -> bytes:
    """Return the root of a tree from its edge tiles alone. Raises BadTile when one is missing, short or too long."""
    _require_edge(edge, size)
    return tree.root_at(size, hashes(lambda level, index: edge[level, index]))


def hashes(read_tile: ReadTile) -> tree.Hashes:
    """Return what `tree`'s roots and proofs read from; each tile is read once, so make a new one for each proof.

    What it returns raises BadTile when a tile is shorter than the tree it was asked for.
    """
    read = cache(read_tile)
    return lambda level, index: hash_at(read, level, index)


def hash_at(read_tile: ReadTile, level: int, index: int) -> bytes:
    """Return the hash of the complete subtree (level, index) of `tree`, from the one tile that holds its pieces."""
    tile_level, above = divmod(level, HEIGHT)
    first, pieces = index << above, 1 << above
    begin = first % WIDTH * HASH_BYTES
    row = read_tile(tile_level, first // WIDTH)[begin : begin + pieces * HASH_BYTES]
    if len(row) != pieces * HASH_BYTES:
        raise BadTile(f"tile {tile_level}/{first // WIDTH} has fewer than {first % WIDTH + pieces} hashes")
    for _ in range(above):
        row = tree.parents(row)
    return row


def encode_bundle(entries: Iterable[bytes]) -> bytes:
    """Return entries as one bundle. Raises ValueError beyond 65,535 bytes. Source: C2SP tlog-tiles, Log entries."""
    parts: list[bytes] = []
    for entry in entries:
        if len(entry) > MAX_ENTRY_BYTES:
            raise ValueError(f"an entry has at most {MAX_ENTRY_BYTES} bytes")
        parts += (len(entry).to_bytes(2, "big"), entry)
    return b"".join(parts)


def _count(level: int, size: int) -> int:
    """How many complete subtrees of 256**level leaves a tree has: the hashes of that level, or its entries."""
    return size >> HEIGHT * max(level, 0)


def _require_edge(edge: Mapping[Position, bytes], size: int) -> None:
    for level, index in edge_tiles(size):
        expected = width(level, index, size) * HASH_BYTES
        found = len(edge.get((level, index), b""))
        if found != expected:
            raise BadTile(f"tile {level}/{index} has {found} bytes; a tree of {size} leaves has {expected} there")
