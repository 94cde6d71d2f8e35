"""RFC 6962 trees: the known answers, every proof of every small tree, and nothing but the right proof."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.log import tiles, tree
from server.log.tree import NotProven
from tests.log.small_trees import BIGGEST, LEAVES, READ, ROOTS, plain_hashes, plain_root, spoiled

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "tree.json").read_text(encoding="utf-8"))
RFC6962 = VECTORS["rfc6962"]
RANDOM_TREES, POOL = 10_000, 1000
RANDOM_LEAVES = [sha256(b"random %d" % number).digest() for number in range(POOL + 5 * 90)]


def from_hex(values: list[str]) -> list[bytes]:
    return [bytes.fromhex(value) for value in values]


def test_the_rfc_leaves_have_the_known_roots() -> None:
    """The eight test leaves of Certificate Transparency give the roots that all its implementations agree on."""
    leaves = tree.leaf_hashes(from_hex(RFC6962["entries_hex"]))
    assert leaves == [tree.leaf_hash(entry) for entry in from_hex(RFC6962["entries_hex"])]
    assert [tree.root(leaves[:size]).hex() for size in range(1, 9)] == RFC6962["roots_hex"]


def test_the_empty_tree_has_the_hash_of_nothing() -> None:
    """A tree without leaves has a root, which is SHA-256 of no bytes."""
    assert tree.root([]).hex() == tree.EMPTY_ROOT.hex() == VECTORS["empty_root_hex"]


@pytest.mark.parametrize("case", RFC6962["inclusion"], ids=lambda case: f"{case['index']} of {case['size']}")
def test_inclusion_proofs_are_the_known_ones(case: dict[str, Any]) -> None:
    """Our proof of each RFC leaf in each tree is Go's, hash by hash."""
    read = plain_hashes(tree.leaf_hashes(from_hex(RFC6962["entries_hex"])))
    assert tree.inclusion_proof(case["index"], case["size"], read) == from_hex(case["proof_hex"])


@pytest.mark.parametrize("case", RFC6962["consistency"], ids=lambda case: f"{case['old_size']} in {case['new_size']}")
def test_consistency_proofs_are_the_known_ones(case: dict[str, Any]) -> None:
    """Our proof between each two sizes of the RFC's tree is Go's, hash by hash."""
    read = plain_hashes(tree.leaf_hashes(from_hex(RFC6962["entries_hex"])))
    assert tree.consistency_proof(case["old_size"], case["new_size"], read) == from_hex(case["proof_hex"])


@pytest.mark.parametrize("size", range(BIGGEST + 1))
def test_a_tree_grown_in_any_two_steps_has_the_defined_root(size: int) -> None:
    """Where the appending is interrupted makes no difference to the root."""
    for step in range(size + 1):
        compact = tree.CompactRange()
        compact.extend(LEAVES[:step])
        assert compact.root() == ROOTS[step]
        compact.extend(LEAVES[step:size])
        assert (compact.size, compact.root()) == (size, ROOTS[size])
    assert tree.root_at(size, READ) == ROOTS[size]


@pytest.mark.parametrize("size", range(1, BIGGEST + 1))
def test_every_leaf_is_proven_and_only_where_it_is(size: int) -> None:
    """Each index of each small tree verifies; every other index, leaf, head and every spoiled proof is refused."""
    for index in range(size):
        proof = tree.inclusion_proof(index, size, READ)
        tree.verify_inclusion(LEAVES[index], index, size, proof, ROOTS[size])
        wrong: list[tuple[bytes, int, int, list[bytes], bytes]] = [
            *((LEAVES[index], other, size, proof, ROOTS[size]) for other in range(-1, size + 2) if other != index),
            *((LEAVES[index], index, other, proof, ROOTS[other]) for other in range(BIGGEST + 2) if other != size),
            *((LEAVES[index], index, size, bad, ROOTS[size]) for bad in spoiled(proof)),
            (LEAVES[index - 1 if size > 1 else 1], index, size, proof, ROOTS[size]),
            (LEAVES[index], index, size, proof, ROOTS[size - 1]),
            (LEAVES[index][:-1], index, size, proof, ROOTS[size]),
            (LEAVES[index], index, size, proof, ROOTS[size][:-1]),
        ]
        for case in wrong:
            with pytest.raises(NotProven):
                tree.verify_inclusion(*case)


@pytest.mark.parametrize("size", range(BIGGEST + 1))
def test_every_beginning_is_proven_and_nothing_else(size: int) -> None:
    """Each smaller tree verifies; with another size or root on either side, or a spoiled proof, none does."""
    for old in range(size + 1):
        proof, last = tree.consistency_proof(old, size, READ), bytes(tree.HASH_BYTES)
        tree.verify_consistency(old, ROOTS[old], size, ROOTS[size], proof)
        wrong = [
            *((old, ROOTS[old], size, ROOTS[size], bad) for bad in spoiled(proof)),
            *((other, ROOTS[other], size, ROOTS[size], proof) for other in range(1, BIGGEST + 1) if other != old),
            (old, last, size, ROOTS[size], proof), (size + 1, ROOTS[size], size, ROOTS[size], proof),
            (-1, ROOTS[0], size, ROOTS[size], proof), (old, ROOTS[old][:-1], size, ROOTS[size], proof),
            (old, ROOTS[old], size, ROOTS[size], [*proof, last]),
        ]  # fmt: skip
        if old:
            wrong.append((old, ROOTS[old], size, last, proof))
        for case in wrong:
            if case[:2] == (size, ROOTS[size]) and not case[4]:
                continue  # what every tree is: its own beginning
            with pytest.raises(NotProven):
                tree.verify_consistency(*case)


@pytest.mark.parametrize(("index", "size"), [(-1, 1), (0, 0), (1, 1), (5, 4)])
def test_no_proof_is_made_for_a_leaf_that_is_not_there(index: int, size: int) -> None:
    """Asking beyond the tree is an error of its own, never a proof of something else."""
    with pytest.raises(IndexError, match="has no leaf"):
        tree.inclusion_proof(index, size, READ)


@pytest.mark.parametrize("case", [(0, 1, 1, 2), (2, 3, 6, 7), (3, 4, 7, 8)], ids=str)
def test_the_claimed_size_fixes_how_long_a_proof_is(case: tuple[int, int, int, int]) -> None:
    """A true path in a bigger tree proves nothing in a smaller one of the same root, though the hashes add up."""
    index, size, true_index, true_size = case
    proof = tree.inclusion_proof(true_index, true_size, READ)
    with pytest.raises(NotProven):
        tree.verify_inclusion(LEAVES[true_index], index, size, proof, ROOTS[true_size])
    with pytest.raises(NotProven):
        tree.verify_inclusion(LEAVES[true_index], true_index, true_size, proof[:-1], ROOTS[true_size])


def test_a_size_that_other_readers_cannot_hold_is_refused() -> None:
    """A count of 2**63 or more overflows elsewhere, so a proof that holds just below it is refused beyond."""
    left, right = LEAVES[:2]
    root = tree.node_hash(left, right)
    tree.verify_inclusion(right, 2**62, 2**62 + 1, [left], root)
    with pytest.raises(NotProven):
        tree.verify_inclusion(right, 2**63, 2**63 + 1, [left], root)


def test_a_hash_cannot_lend_a_byte_to_its_neighbour() -> None:
    """A node joins two hashes, so 33 bytes and 31 would give the same root as 32 and 32: each length is checked."""
    left, right = LEAVES[:2]
    root, longer, shorter = tree.node_hash(left, right), left + right[:1], right[1:]
    assert tree.node_hash(longer, shorter) == root
    with pytest.raises(NotProven, match="32 bytes"):
        tree.verify_inclusion(shorter, 1, 2, [longer], root)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_what_is_not_a_hash_is_never_appended(length: int) -> None:
    """One short hash would shift all that follow; nothing is taken then, so the tree stays as it was."""
    compact = tree.CompactRange()
    compact.extend(LEAVES[:3])
    with pytest.raises(ValueError, match="32 bytes"):
        compact.extend([LEAVES[0], bytes(length)])
    assert (compact.size, compact.root()) == (3, ROOTS[3])


@pytest.mark.parametrize(
    "trees", [RANDOM_TREES // 10, pytest.param(RANDOM_TREES, marks=pytest.mark.fault)], ids="{} trees".format
)
def test_random_trees_agree_with_the_definition(trees: int) -> None:
    """Grown in any batches, as tiles and as a range, a tree has the defined root, and its proofs hold."""

    @settings(max_examples=trees, deadline=None, database=None)
    @given(
        steps=st.lists(st.integers(0, 90), min_size=1, max_size=5),
        first=st.integers(0, POOL),
        place=st.integers(0, POOL),
    )
    def agree(steps: list[int], first: int, place: int) -> None:
        leaves = RANDOM_LEAVES[first : first + sum(steps)]
        stored: dict[tiles.Position, bytes] = {}
        compact, size = tree.CompactRange(), 0
        for step in steps:
            batch = leaves[size : size + step]
            stored |= tiles.append({at: stored[at] for at in tiles.edge_tiles(size)}, size, batch)
            compact.extend(batch)
            size += step
        root = plain_root(leaves)
        assert compact.root() == tiles.root_from_edge(size, stored) == root
        read = tiles.hashes(lambda level, index: stored[level, index])
        if size:
            place %= size
            tree.verify_inclusion(leaves[place], place, size, tree.inclusion_proof(place, size, read), root)

    agree()
