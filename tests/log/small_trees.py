"""Every tree of up to 70 leaves by the definition alone, and proofs that are not quite right."""

from collections.abc import Iterator, Sequence
from hashlib import sha256

from server.log import tree

BIGGEST = 70  # of the sizes of which every proof is tried
LEAVES = [sha256(b"leaf %d" % number).digest() for number in range(BIGGEST + 1)]


def plain_root(leaves: Sequence[bytes]) -> bytes:
    """The definition, RFC 6962 section 2.1, word for word, over leaf hashes."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(b"\x01" + plain_root(leaves[:split]) + plain_root(leaves[split:])).digest()


def plain_hashes(leaves: Sequence[bytes]) -> tree.Hashes:
    return lambda level, index: plain_root(leaves[index << level : (index + 1) << level])


ROOTS = [plain_root(LEAVES[:size]) for size in range(BIGGEST + 2)]
READ = plain_hashes(LEAVES)


def spoiled(proof: list[bytes]) -> Iterator[list[bytes]]:
    """Give the proof with each hash changed, left out or doubled, with one more at either end, and turned around."""
    for at, part in enumerate(proof):
        yield [*proof[:at], bytes([part[0] ^ 1]) + part[1:], *proof[at + 1 :]]
        yield [*proof[:at], part[:-1], *proof[at + 1 :]]
        yield [*proof[:at], *proof[at + 1 :]]
        yield [*proof[:at], part, *proof[at:]]
    yield [*proof, LEAVES[0]]
    yield [LEAVES[0], *proof]
    if len(proof) > 1:
        yield proof[::-1]
