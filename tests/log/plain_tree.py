"""The tree by its definitions alone, for tests to compare with: slow, and without a line of the server's code."""

from collections.abc import Sequence
from hashlib import sha256

Entries = Sequence[bytes]


def root(entries: Entries) -> bytes:
    """MTH(D[n]). Source: RFC 6962, section 2.1."""
    count = len(entries)
    if count == 0:
        return sha256(b"").digest()
    if count == 1:
        return sha256(b"\x00" + entries[0]).digest()
    split = 1
    while split * 2 < count:
        split *= 2
    return sha256(b"\x01" + root(entries[:split]) + root(entries[split:])).digest()


def tiles(entries: Entries) -> dict[tuple[int, int], bytes]:
    """Every tile as (level, number), as wide as it is. Source: C2SP tlog-tiles, Merkle Tree."""
    found: dict[tuple[int, int], bytes] = {}
    level, span = 0, 1
    while span <= len(entries):
        for index in range(len(entries) // span):
            place = (level, index // 256)
            found[place] = found.get(place, b"") + root(entries[index * span : (index + 1) * span])
        level, span = level + 1, span * 256
    return found


def bundles(entries: Entries) -> dict[int, bytes]:
    """Every entry bundle by its number, as wide as it is. Source: C2SP tlog-tiles, Log Entries."""
    found: dict[int, bytes] = {}
    for index, entry in enumerate(entries):
        found[index // 256] = found.get(index // 256, b"") + len(entry).to_bytes(2, "big") + entry
    return found
