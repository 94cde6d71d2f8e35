"""Verify a log with PyPI's tlog-scales: what is ours here only chooses what to check.

usage: python tlog_scales_verify.py LOCATION VKEY [--earlier HEAD] [--cosigner VKEY]
(in an environment made from log-verifiers.txt; LOCATION: an absolute folder or http://… that holds `checkpoint`)

The head is signed by the key (and the cosigner); the tiles give its root; each entry gives the hash in its tile; one
entry of each tile is proven to be in the root, which reads all of the tile; the tree has grown from the earlier head.
Exit 0: accepted, 1: refused, with a sentence. Nothing here imports the server.
"""

import argparse
import sys
from pathlib import Path

from tlog_scales import backend, tiles  # type: ignore[import-not-found]
from tlog_scales.reader import TilesReader  # type: ignore[import-not-found]
from tlog_scales.signing import Vkey  # type: ignore[import-not-found]
from tlog_scales.tlog import Checkpoint  # type: ignore[import-not-found]


def verify(options: argparse.Namespace) -> None:
    """Raise whatever tlog-scales raises, or ValueError, at the first thing that is wrong."""
    reader = TilesReader(backend.make_backend(options.location))
    head = reader.get_checkpoint()
    head.verify(Vkey.from_string(options.vkey))
    if options.cosigner:
        head.verify(Vkey.from_string(options.cosigner))
    if reader.calculate_root_hash() != head.root_hash:
        raise ValueError("the tiles give another root than the head's")
    for index in range(head.size):
        leaf = tiles.leaf_hash(reader.get_entry(index))
        if reader.mth(index, index + 1) != leaf:
            raise ValueError(f"entry {index} does not give the hash in its tile")
        if index % 256 == 0 or index == head.size - 1:
            reader.get_inclusion_proof(index, head.size).check(leaf, head.root_hash)
    if options.earlier:
        old = Checkpoint.from_text(options.earlier.read_text(encoding="utf-8"))
        old.verify(Vkey.from_string(options.vkey))
        reader.get_consistency_proof(old.size, head.size).check(old.root_hash, head.root_hash)


def main() -> int:
    """Return the exit code; say on the error stream what was refused."""
    parser = argparse.ArgumentParser()
    parser.add_argument("location")
    parser.add_argument("vkey")
    parser.add_argument("--earlier", type=Path)
    parser.add_argument("--cosigner")
    options = parser.parse_args()
    try:
        verify(options)
    except Exception as error:  # noqa: BLE001, RUF100  # whatever it is, it was not accepted
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
