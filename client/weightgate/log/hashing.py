"""Hashes of the log's tree, and the verification of inclusion and consistency. Knows bytes, nothing else."""

import hashlib
from collections.abc import Sequence

HASH_BYTES = 32
SALT_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()  # RFC 6962, section 2.1
_COMMITMENT_PREFIX = b"weightgate-commit/v1\n"


def commit(salt: bytes, record: bytes) -> bytes:
    """The entry that the public log holds in place of a private record."""
    return hashlib.sha256(_COMMITMENT_PREFIX + salt + record).digest()


def hash_leaf(entry: bytes) -> bytes:
    """RFC 6962, section 2.1: the 0x00 keeps a leaf from being taken for a node."""
    return hashlib.sha256(b"\x00" + entry).digest()


def hash_node(left: bytes, right: bytes) -> bytes:
    """RFC 6962, section 2.1."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def includes(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Whether the tree of `size` leaves under `root` has this leaf hash at `index`. Source: RFC 9162, 2.1.3.2."""
    if not 0 <= index < size:
        return False
    fn, sn = index, size - 1
    found = leaf
    for sibling in path:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            found = hash_node(sibling, found)
            fn, sn = _skip_missing_siblings(fn, sn)
        else:
            found = hash_node(found, sibling)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and found == root


def continues(first: int, second: int, first_root: bytes, second_root: bytes, path: Sequence[bytes]) -> bool:
    """Whether the tree of `second` leaves begins with the tree of `first` leaves. Source: RFC 9162, 2.1.4.2.

    The RFC leaves out two cases: the empty tree begins every tree, and a tree continues only itself at its own size.
    """
    if first == 0 or first == second:
        return first_root == (EMPTY_ROOT if first == 0 else second_root) and not path
    if not 0 < first < second or not path:
        return False
    nodes = [first_root, *path] if first & (first - 1) == 0 else list(path)
    fn, sn = first - 1, second - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    found_first = found_second = nodes[0]
    for node in nodes[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            found_first, found_second = hash_node(node, found_first), hash_node(node, found_second)
            fn, sn = _skip_missing_siblings(fn, sn)
        else:
            found_second = hash_node(found_second, node)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and found_first == first_root and found_second == second_root


def _skip_missing_siblings(fn: int, sn: int) -> tuple[int, int]:
    """At the right edge a node without a sibling rises unchanged."""
    while fn != 0 and not fn & 1:
        fn, sn = fn >> 1, sn >> 1
    return fn, sn
