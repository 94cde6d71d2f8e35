"""Tiles, after c2sp.org/tlog-tiles: reads a tree's hashes and makes proofs of consistency from them.

What a tile says needs no signature of its own: a wrong hash gives a proof that does not lead to the signed roots.
"""

from collections.abc import Callable

from weightgate.log.hashing import HASH_BYTES, hash_node

TILE_HEIGHT = 8
TILE_WIDTH = 2**TILE_HEIGHT
FetchTile = Callable[[int, int, int], bytes]  # level, number, width → the tile's first `width` hashes


def tile_path(level: int, number: int, width: int) -> str:
    """`<L>/<N>[.p/<W>]`: the number in groups of three digits, all but the last after an x."""
    groups = [f"{number % 1000:03d}"]
    while number := number // 1000:
        groups.insert(0, f"x{number % 1000:03d}")
    partial = "" if width == TILE_WIDTH else f".p/{width}"
    return f"{level}/{'/'.join(groups)}{partial}"


class Tree:
    """The tree of the first `size` leaves of a log; each tile is fetched once."""

    def __init__(self, size: int, fetch: FetchTile) -> None:
        self._size = size
        self._fetch = fetch
        self._tiles: dict[tuple[int, int], bytes] = {}

    def consistency_path(self, first: int) -> list[bytes]:
        """The nodes that show that the tree of the `first` leaves begins this one. Source: RFC 9162, 2.1.4.1."""
        if first in (0, self._size):
            return []
        return self._subproof(first, 0, self._size, whole=True)

    def _subproof(self, first: int, start: int, end: int, *, whole: bool) -> list[bytes]:
        if first == end - start:
            return [] if whole else [self._root(start, end)]
        split = _split(end - start)
        if first <= split:
            return [*self._subproof(first, start, start + split, whole=whole), self._root(start + split, end)]
        right = self._subproof(first - split, start + split, end, whole=False)
        return [*right, self._root(start, start + split)]

    def _root(self, start: int, end: int) -> bytes:
        """MTH(D[start:end]) of a subtree that the recursion reaches: complete ones stand in a tile, or are folded."""
        size = end - start
        if size & (size - 1) == 0:
            return self._complete(size.bit_length() - 1, start)
        split = _split(size)
        return hash_node(self._root(start, start + split), self._root(start + split, end))

    def _complete(self, height: int, start: int) -> bytes:
        level, above = divmod(height, TILE_HEIGHT)
        number, offset = divmod(start >> (TILE_HEIGHT * level), TILE_WIDTH)
        tile = self._tile(level, number)
        hashes = [tile[HASH_BYTES * i : HASH_BYTES * (i + 1)] for i in range(offset, offset + 2**above)]
        while len(hashes) > 1:
            hashes = [hash_node(hashes[i], hashes[i + 1]) for i in range(0, len(hashes), 2)]
        return hashes[0]

    def _tile(self, level: int, number: int) -> bytes:
        if (level, number) not in self._tiles:
            width = min(TILE_WIDTH, (self._size >> (TILE_HEIGHT * level)) - TILE_WIDTH * number)
            self._tiles[level, number] = self._fetch(level, number, width)
        return self._tiles[level, number]


def _split(size: int) -> int:
    """The largest power of two that is smaller than `size`."""
    return 1 << ((size - 1).bit_length() - 1)
