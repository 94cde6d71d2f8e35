"""A log written by our code into a folder, as C2SP tlog-tiles lays it out: what any reader can be pointed at."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from server.log import heads, tiles, tree
from server.log.heads import Head
from server.log.notes import Signer
from server.log.tiles import Position, Tile

BATCH = 1000  # leaves that the sealer takes at once


@dataclass(frozen=True)
class WrittenLog:
    """A log at one size. note: the signed head, which is also in the folder."""

    folder: Path
    stored: dict[Position, bytes]
    head: Head
    note: bytes

    @property
    def read(self) -> tree.Hashes:
        return tiles.hashes(lambda level, index: self.stored[level, index])


def write(folder: Path, entries: Sequence[bytes], signer: Signer) -> WrittenLog:
    """Append the entries in the sealer's batches, sign the head, and write every file that a reader may ask for."""
    leaves = tree.leaf_hashes(entries)
    stored: dict[Position, bytes] = {}
    for first in range(0, len(leaves), BATCH):
        edge = {position: stored[position] for position in tiles.edge_tiles(first)}
        stored |= tiles.append(edge, first, leaves[first : first + BATCH])
    head = Head(signer.key.name, len(leaves), tiles.root_from_edge(len(leaves), stored))
    note = heads.sign(head, signer)
    for tile in tiles.tiles_of(head.size):
        _write(folder, tile, stored[tile.level, tile.index])
    for bundle in bundles_of(head.size):
        first = bundle.index * tiles.WIDTH
        _write(folder, bundle, tiles.encode_bundle(entries[first : first + bundle.width]))
    (folder / "checkpoint").write_bytes(note)
    return WrittenLog(folder, stored, head, note)


def bundles_of(size: int) -> Iterator[Tile]:
    """Give every entry bundle that a log of `size` entries has."""
    full, partial = divmod(size, tiles.WIDTH)
    yield from (Tile(tiles.ENTRIES, index) for index in range(full))
    if partial:
        yield Tile(tiles.ENTRIES, full, partial)


def _write(folder: Path, tile: Tile, data: bytes) -> None:
    path = folder / tile.path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
