"""Proofs of consistency that the client makes from tiles."""

import pytest

from client.tests.slow_log import SlowTree
from weightgate.log.tiles import Tree, tile_path

LARGE = 70_000


@pytest.fixture(scope="module")
def slow() -> SlowTree:
    return SlowTree([b"entry %d" % i for i in range(LARGE)])


class Shelf:
    """Tiles of a slow tree at one size; writes down which were fetched."""

    def __init__(self, slow: SlowTree, size: int) -> None:
        self.slow, self.size = slow, size
        self.fetched: list[str] = []

    def __call__(self, level: int, number: int, width: int) -> bytes:
        self.fetched.append(tile_path(level, number, width))
        tile = self.slow.tile(level, number, self.size)
        assert len(tile) == 32 * width
        return tile


@pytest.mark.parametrize("second", [*range(1, 71), 300])
def test_the_path_from_tiles_is_that_of_the_definition(slow: SlowTree, second: int) -> None:
    """For each pair of small sizes the tiles give exactly PROOF(m, D[n])."""
    tree = Tree(second, Shelf(slow, second))
    for first in range(1, second + 1):
        assert tree.consistency_path(first) == slow.proof(first, second)


@pytest.mark.parametrize("first", [1, 255, 256, 257, 4097, 65_535, 65_536, 65_537, 69_887, 69_888, 69_889, 69_999])
def test_a_large_tree_needs_few_tiles(slow: SlowTree, first: int) -> None:
    """In 70,000 leaves the path is that of the definition, and each of the few tiles is fetched once."""
    shelf = Shelf(slow, LARGE)
    assert Tree(LARGE, shelf).consistency_path(first) == slow.proof(first, LARGE)
    assert len(shelf.fetched) == len(set(shelf.fetched)) <= 6


def test_the_partial_tiles_of_70000_leaves_are_those_of_the_specification(slow: SlowTree) -> None:
    """At the right edge stand 112 hashes at level 0, 17 at level 1 and one at level 2."""
    shelf = Shelf(slow, LARGE)
    Tree(LARGE, shelf).consistency_path(65_537)
    Tree(LARGE, shelf).consistency_path(69_999)
    assert {path for path in shelf.fetched if ".p" in path} == {"0/273.p/112", "1/001.p/17", "2/000.p/1"}


@pytest.mark.parametrize(
    ("number", "width", "path"),
    [(0, 256, "0/000"), (999, 256, "0/999"), (1000, 3, "0/x001/000.p/3"), (1234067, 256, "0/x001/x234/067")],
)
def test_a_tile_stands_under_groups_of_three_digits(number: int, width: int, path: str) -> None:
    """The number of a tile becomes its path as tlog-tiles writes it."""
    assert tile_path(0, number, width) == path
