"""A tree known by its right edge has the roots that the definition gives."""

import random

import pytest

from hub.errors import VerificationFailed
from hub.proof.frontier import Frontier, subtrees
from hub.proof.merkle import EMPTY_ROOT, leaf_hash, root_of
from hub.proof.tree import GrowingTree, Tree

LEAVES = [f"leaf {number}".encode() for number in range(300)]
HASHES = [leaf_hash(leaf) for leaf in LEAVES]


def tree_of(size: int) -> Tree:
    growing = GrowingTree(0, lambda level, number: b"")
    growing.append(HASHES[:size])
    return growing.tree


def test_leaf_by_leaf_every_root_is_that_of_the_definition():
    frontier = Frontier()
    assert frontier.root() == EMPTY_ROOT
    for size, leaf in enumerate(LEAVES, 1):
        frontier.append(leaf)
        assert (frontier.size, frontier.root()) == (size, root_of(HASHES[:size]))


@pytest.mark.parametrize("start", [0, 1, 2, 3, 7, 8, 200, 255, 256, 257, 299, 300])
def test_from_the_edge_of_any_tree_it_goes_on(start):
    frontier = Frontier(start, tree_of(start).frontier(start))
    assert frontier.root() == root_of(HASHES[:start])
    for leaf in LEAVES[start:]:
        frontier.append(leaf)
    assert frontier.root() == root_of(HASHES)


def test_in_stretches_of_any_length_it_grows_as_leaf_by_leaf():
    lengths = random.Random(7)
    for _ in range(50):
        start = lengths.randrange(300)
        frontier = Frontier(start, tree_of(start).frontier(start))
        while frontier.size < len(LEAVES):
            frontier.extend(LEAVES[frontier.size : frontier.size + lengths.randrange(70)])
            assert frontier.root() == root_of(HASHES[: frontier.size])


def test_the_subtrees_lie_side_by_side_and_cover_the_tree():
    for size in (0, 1, 6, 255, 256, 1000, 2**40 + 5):
        begin = 0
        for level, number in subtrees(size):
            assert number << level == begin
            begin += 1 << level
        assert begin == size
        assert len(subtrees(size)) == size.bit_count()


@pytest.mark.parametrize(
    ("size", "hashes"),
    [(3, [bytes(32)]), (4, []), (0, [bytes(32)]), (1, [bytes(31)]), (-1, []), (2**64, [bytes(32)])],
)
def test_an_edge_that_fits_no_tree_is_refused(size, hashes):
    with pytest.raises(VerificationFailed) as failure:
        Frontier(size, hashes)
    assert failure.value.step == "frontier"
