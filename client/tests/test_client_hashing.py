"""The tree's hashes and the two verifications, against the definitions and known answers."""

import pytest

from client.tests.slow_log import SlowTree, sha256
from weightgate.log import hashing

LEAVES = [
    bytes.fromhex(leaf)
    for leaf in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = ["6e340b9c", "fac54203", "aeb6bcfe", "d37ee418", "4e3bbb1f", "76e67dad", "ddb89be4", "5dc9da79"]
ROOT_OF_8 = "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
LARGE = 70_000


@pytest.fixture(scope="module")
def tree() -> SlowTree:
    return SlowTree([b"entry %d" % i for i in range(LARGE)])


def test_the_known_answers_of_rfc_6962_are_ours() -> None:
    """The eight leaves of the specification give its roots, through the client's own hashing of one leaf at a time."""
    known = SlowTree(LEAVES)
    assert [known.root(size).hex()[:8] for size in range(1, 9)] == ROOTS
    assert known.root(8).hex() == ROOT_OF_8
    hashes = [hashing.hash_leaf(leaf) for leaf in LEAVES]
    while len(hashes) > 1:
        hashes = [hashing.hash_node(hashes[i], hashes[i + 1]) for i in range(0, len(hashes), 2)]
    assert hashes[0].hex() == ROOT_OF_8
    assert hashing.EMPTY_ROOT.hex().startswith("e3b0c442")


@pytest.mark.parametrize("size", [*range(1, 71), 300])
def test_every_entry_is_included_where_it_is_and_nowhere_else(tree: SlowTree, size: int) -> None:
    """Each index of each small tree has a path that verifies; at the next index, or for another leaf, it does not."""
    root = tree.root(size)
    for index in range(size):
        path, leaf = tree.path(index, 0, size), sha256(b"\x00" + tree.entries[index])
        assert hashing.includes(leaf, index, size, path, root)
        assert not hashing.includes(leaf, index + 1, size, path, root)
        assert not hashing.includes(leaf, size, size, path, root)
        assert not hashing.includes(sha256(leaf), index, size, path, root)
        assert not hashing.includes(leaf, index, size, [*path, root], root)
        assert size == 1 or not hashing.includes(leaf, index, size, path[:-1], root)


def test_a_path_of_another_length_than_the_tree_has_is_none(tree: SlowTree) -> None:
    """Hashes that do lead to a root prove nothing when the size says that there are more or fewer of them."""
    leaf, other = sha256(b"\x00" + tree.entries[0]), b"x" * 32
    assert not hashing.includes(leaf, 0, 3, tree.path(0, 0, 2), tree.root(2))
    assert not hashing.includes(leaf, 0, 1, [other], hashing.hash_node(other, leaf))
    assert not hashing.continues(1, 3, tree.root(1), tree.root(2), tree.proof(1, 2))
    assert not hashing.continues(1, 2, tree.root(1), hashing.hash_node(other, tree.root(2)), [*tree.proof(1, 2), other])


@pytest.mark.parametrize("second", [*range(1, 71), 300])
def test_every_tree_continues_all_smaller_ones(tree: SlowTree, second: int) -> None:
    """Each pair of sizes verifies with its own roots and path; with another root, or another path, it does not."""
    root = tree.root(second)
    for first in range(1, second + 1):
        path, first_root = tree.proof(first, second), tree.root(first)
        assert hashing.continues(first, second, first_root, root, path)
        assert not hashing.continues(first, second, sha256(first_root), root, path)
        assert not hashing.continues(first, second, first_root, sha256(root), path)
        assert not hashing.continues(first, second, first_root, root, [*path, root])
        assert first == second or not hashing.continues(first, second, first_root, root, path[:-1])
        assert first == second or not hashing.continues(second, first, root, first_root, path)


@pytest.mark.parametrize("number", [0, 1, 255, 256, 257, 4095, 65_535, 65_536, 69_887, 69_888, 69_998, 69_999])
def test_a_large_tree_verifies_at_its_seams(tree: SlowTree, number: int) -> None:
    """In 70,000 leaves, where tiles and subtrees end, inclusion and consistency verify and changed paths do not."""
    root, leaf = tree.root(LARGE), sha256(b"\x00" + tree.entries[number])
    path = tree.path(number, 0, LARGE)
    assert hashing.includes(leaf, number, LARGE, path, root)
    assert not hashing.includes(leaf, number ^ 1, LARGE, path, root)
    if number:
        proof = tree.proof(number, LARGE)
        assert hashing.continues(number, LARGE, tree.root(number), root, proof)
        assert not hashing.continues(number, LARGE, tree.root(number), root, [sha256(proof[0]), *proof[1:]])


def test_the_empty_tree_begins_every_tree_but_needs_its_own_root() -> None:
    """A head of size 0 is continued by anything, if its root is that of nothing."""
    assert hashing.continues(0, 5, hashing.EMPTY_ROOT, b"r" * 32, [])
    assert not hashing.continues(0, 5, b"x" * 32, b"r" * 32, [])
    assert not hashing.continues(0, 5, hashing.EMPTY_ROOT, b"r" * 32, [b"n" * 32])
