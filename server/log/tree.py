"""RFC 6962 trees over SHA-256: leaves, nodes, roots, and the proofs that anybody can check without the tree.

A hash is 32 bytes. A complete subtree is named by (level, index): it has 2**level leaves, the first of which is number
index * 2**level. Sizes and indexes are counts of leaves below 2**63, as other readers hold them.
"""

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256

HASH_BYTES = 32
MAX_SIZE = 2**63 - 1
EMPTY_ROOT = sha256(b"").digest()

Hashes = Callable[[int, int], bytes]  # (level, index) -> hash of that complete subtree; `tiles.hashes` makes one

_PAIR = 2 * HASH_BYTES


class NotProven(ValueError):
    """The proof does not show what it was given for. The text says at which point it fails."""


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of one entry. Source: RFC 6962, section 2.1."""
    return sha256(b"\x00" + data).digest()


def leaf_hashes(entries: Iterable[bytes]) -> list[bytes]:
    """Return the hash of each entry, as `leaf_hash` does, without a call for each."""
    return [sha256(b"\x00" + data).digest() for data in entries]


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash over two subtrees. Source: RFC 6962, section 2.1."""
    return sha256(b"\x01" + left + right).digest()


def parents(row: bytes) -> bytes:
    """Return the row above: one hash for each pair. row: an even number of hashes, joined."""
    return b"".join([sha256(b"\x01" + row[at : at + _PAIR]).digest() for at in range(0, len(row), _PAIR)])


def joined(hashes: Iterable[bytes]) -> bytes:
    """Return hashes as one row. Raises ValueError when one is not 32 bytes: all after it would be misread."""
    parts = list(hashes)
    if set(map(len, parts)) - {HASH_BYTES}:
        raise ValueError(f"a hash is {HASH_BYTES} bytes")
    return b"".join(parts)


class CompactRange:
    """A growing tree of which only the complete subtrees' hashes are kept: at most one for each bit of its size."""

    def __init__(self) -> None:
        self.size = 0
        self._complete: dict[int, bytes] = {}  # level -> hash; a level is there when the size has that bit

    def extend(self, hashes: Iterable[bytes]) -> None:
        """Append leaf hashes, level by level, so that Python loops once for a level and not once for a leaf."""
        row = joined(hashes)
        level, begin = 0, self.size
        self.size += len(row) // HASH_BYTES
        while row:
            if begin & 1:
                row = self._complete.pop(level) + row
            if len(row) % _PAIR:
                self._complete[level] = row[-HASH_BYTES:]
                row = row[:-HASH_BYTES]
            row = parents(row)
            level, begin = level + 1, begin >> 1

    def root(self) -> bytes:
        """Return the root of all leaves so far. Source: RFC 6962, section 2.1."""
        levels = sorted(self._complete)
        if not levels:
            return EMPTY_ROOT
        result = self._complete[levels[0]]
        for level in levels[1:]:
            result = node_hash(self._complete[level], result)
        return result


def root(leaves: Iterable[bytes]) -> bytes:
    """Return the root over leaf hashes. Source: RFC 6962, section 2.1."""
    compact = CompactRange()
    compact.extend(leaves)
    return compact.root()


def root_at(size: int, read: Hashes) -> bytes:
    """Return the root that the tree had at this size."""
    return _hash_over(0, size, read) if size else EMPTY_ROOT


def inclusion_proof(index: int, size: int, read: Hashes) -> list[bytes]:
    """Return the hashes that lead from leaf `index` to the root of the first `size` leaves, lowest first.

    Raises IndexError when that tree has no such leaf. Source: RFC 9162, section 2.1.3.1.
    """
    if not 0 <= index < size:
        raise IndexError(f"a tree of {size} leaves has no leaf {index}")
    spans = []
    begin, end = 0, size
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            spans.append((middle, end))
            end = middle
        else:
            spans.append((begin, middle))
            begin = middle
    return [_hash_over(*span, read) for span in reversed(spans)]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Check that leaf hash `leaf` is number `index` of the tree with this size and root. Raises NotProven.

    Size and root must come from one signed head: the proof alone does not bind the size to the root.
    Source: RFC 9162, section 2.1.3.2.
    """
    _require_hashes(leaf, root, *proof)
    if not 0 <= index < size <= MAX_SIZE:
        raise NotProven(f"a tree of {size} leaves has no leaf {index}")
    place, last, result = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise NotProven("the proof continues above the root")
        if place & 1 or place == last:
            result = node_hash(sibling, result)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            result = node_hash(result, sibling)
        place, last = place >> 1, last >> 1
    if last != 0:
        raise NotProven("the proof ends below the root")
    if result != root:
        raise NotProven("the proof leads to another root")


def consistency_proof(old_size: int, new_size: int, read: Hashes) -> list[bytes]:
    """Return the hashes that show the first tree to be the beginning of the second, lowest first.

    Empty when the old tree is empty or is the whole. Raises IndexError when the old tree is the bigger one.
    Source: RFC 9162, section 2.1.4.1.
    """
    if not 0 <= old_size <= new_size:
        raise IndexError(f"a tree of {new_size} leaves does not begin with one of {old_size}")
    if old_size == 0:
        return []
    spans = []
    begin, end = 0, new_size
    while old_size != end:
        middle = begin + _split(end - begin)
        if old_size <= middle:
            spans.append((middle, end))
            end = middle
        else:
            spans.append((begin, middle))
            begin = middle
    if begin:  # else the old root itself is where the proof starts, and the verifier has it
        spans.append((begin, end))
    return [_hash_over(*span, read) for span in reversed(spans)]


def verify_consistency(old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Check that the first tree is the beginning of the second. Raises NotProven.

    Sizes and roots must come from signed heads. Source: RFC 9162, section 2.1.4.2, which leaves two cases out: the
    empty tree begins every tree, and a tree is the beginning of no other tree of its size.
    """
    _require_hashes(old_root, new_root, *proof)
    if not 0 <= old_size <= new_size <= MAX_SIZE:
        raise NotProven(f"a tree of {new_size} leaves does not begin with one of {old_size}")
    if old_size in (0, new_size):
        if proof:
            raise NotProven("the proof continues above the root")
        if old_root != (new_root if old_size == new_size else EMPTY_ROOT):
            raise NotProven("the proof leads to another root")
        return
    if not proof:
        raise NotProven("the proof ends below the root")
    # An old tree that is complete is where the proof starts, and its root is left out.
    hashes = list(proof) if old_size & old_size - 1 else [old_root, *proof]
    place, last = old_size - 1, new_size - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    old = new = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            raise NotProven("the proof continues above the root")
        if place & 1 or place == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        place, last = place >> 1, last >> 1
    if last != 0:
        raise NotProven("the proof ends below the root")
    if (old, new) != (old_root, new_root):
        raise NotProven("the proof leads to another root")


def _require_hashes(*hashes: bytes) -> None:
    if any(len(part) != HASH_BYTES for part in hashes):
        raise NotProven(f"a hash is {HASH_BYTES} bytes")


def _split(count: int) -> int:
    """Return the biggest power of two below `count`, which is 2 or more: where RFC 6962 divides."""
    return 1 << (count - 1).bit_length() - 1


def _hash_over(begin: int, end: int, read: Hashes) -> bytes:
    """Return the hash over leaves begin to end, which begin where a subtree that could hold them all begins."""
    result = b""
    while begin < end:
        complete = (end - begin) & -(end - begin)  # the lowest bit: the rightmost complete subtree
        end -= complete
        level = complete.bit_length() - 1
        subtree = read(level, end >> level)
        result = node_hash(subtree, result) if result else subtree
    return result
