"""The tree over tiles, held against the definition in RFC 6962 and the verifiers of receipts."""

import random
from hashlib import sha256

import pytest

from hub.proof.merkle import EMPTY_ROOT, root_of, verify_consistency, verify_inclusion
from hub.proof.tree import TILE_WIDTH, GrowingTree, MissingHash, Tree

ALL_SIZES = 600
LARGE = 65_536 + 300


def leaves(count: int) -> list[bytes]:
    return [sha256(b"%d" % number).digest() for number in range(count)]


LEAVES = leaves(LARGE)


class Store:
    """Tiles as a TreeStore holds them."""

    def __init__(self) -> None:
        self.tiles: dict[tuple[int, int], bytes] = {}

    def tile(self, level: int, number: int) -> bytes:
        return self.tiles.get((level, number), b"")

    def take(self, growing: GrowingTree) -> None:
        for place, hashes in growing.changed.items():
            assert hashes.startswith(self.tile(*place)), "a tile only grows"
            self.tiles[place] = hashes
        growing.stored()


def stored(size: int) -> Store:
    store = Store()
    growing = GrowingTree(0, store.tile)
    growing.append(LEAVES[:size])
    store.take(growing)
    return store


@pytest.fixture(scope="module")
def small() -> Store:
    return stored(ALL_SIZES)


@pytest.fixture(scope="module")
def large() -> Store:
    return stored(LARGE)


def test_every_root_is_the_one_of_the_definition(small):
    tree = Tree(small.tile)

    assert tree.root(0) == EMPTY_ROOT
    for size in range(ALL_SIZES + 1):
        assert tree.root(size) == root_of(LEAVES[:size])


def test_every_inclusion_proof_verifies(small):
    tree = Tree(small.tile)
    drawn = random.Random(1)
    for size in range(1, ALL_SIZES + 1):
        root = tree.root(size)
        # All of the small trees; of the others both ends and some in between.
        indices = range(size) if size <= 70 else {0, size - 1, *drawn.choices(range(size), k=8)}
        for index in indices:
            proof = tree.inclusion(index, size)
            verify_inclusion(leaf=LEAVES[index], index=index, size=size, proof=proof, root=root)


def test_every_consistency_proof_verifies(small):
    tree = Tree(small.tile)
    drawn = random.Random(2)
    for new_size in range(1, ALL_SIZES + 1):
        new_root = tree.root(new_size)
        sizes = range(1, new_size + 1)
        for old_size in sizes if new_size <= 70 else {1, new_size, *drawn.choices(sizes, k=8)}:
            verify_consistency(
                old_size=old_size,
                old_root=tree.root(old_size),
                new_size=new_size,
                new_root=new_root,
                proof=tree.consistency(old_size, new_size),
            )


@pytest.mark.parametrize("size", [65_535, 65_536, 65_537, 65_791, 65_792, 65_793, LARGE])
def test_proofs_hold_where_a_third_level_of_tiles_begins(large, size):
    tree = Tree(large.tile)
    root = tree.root(size)
    assert root == root_of(LEAVES[:size])
    for index in {0, 1, 255, 256, 65_279, 65_280, 65_534, size - 1}:
        proof = tree.inclusion(index, size)
        verify_inclusion(leaf=LEAVES[index], index=index, size=size, proof=proof, root=root)
    for old_size in {1, 255, 256, 257, 65_280, 65_535, size - 1, size}:
        verify_consistency(
            old_size=old_size,
            old_root=tree.root(old_size),
            new_size=size,
            new_root=root,
            proof=tree.consistency(old_size, size),
        )


def test_tiles_hold_the_hashes_of_complete_subtrees(large):
    widths = {}
    for (level, number), hashes in large.tiles.items():
        widths[level] = widths.get(level, 0) + len(hashes) // 32
        assert len(hashes) == TILE_WIDTH * 32 or number == max(
            n for lvl, n in large.tiles if lvl == level
        ), "only the last tile of a level is not full"
    assert widths == {0: LARGE, 1: LARGE // 256, 2: 1}
    assert large.tile(2, 0) == root_of(LEAVES[:65_536])
    assert large.tile(1, 0)[32:64] == root_of(LEAVES[256:512])


@pytest.mark.parametrize("seed", range(5))
def test_a_tree_grown_in_any_pieces_and_reopened_in_between_is_the_same(seed, large):
    drawn = random.Random(seed)
    store, size = Store(), 0
    while size < 3000:
        growing = GrowingTree(size, store.tile)
        for _ in range(drawn.randrange(1, 4)):
            step = drawn.choice([0, 1, 2, 255, 256, 257, 600])
            growing.append(LEAVES[size : size + step])
            size += step
            assert growing.size == size
            assert growing.tree.root(size) == Tree(large.tile).root(size)
            if drawn.random() < 0.5:
                store.take(growing)
        store.take(growing)

    assert store.tiles == stored(size).tiles


@pytest.mark.parametrize("size", [1, 255, 256, 257, 65_536, LARGE])
def test_an_edge_that_is_read_from_stored_tiles_goes_on_growing(large, size):
    growing = GrowingTree(size, stored(size).tile if size < LARGE else large.tile)
    before = growing.tree.root(size)
    growing.append([LEAVES[0]])

    assert before == root_of(LEAVES[:size])
    assert growing.tree.root(size + 1) == root_of([*LEAVES[:size], LEAVES[0]])
    assert growing.tree.leaf(size) == LEAVES[0]


@pytest.mark.parametrize("size", [1, 255, 257, 513, 65_537])
def test_an_edge_that_is_not_there_in_full_is_noticed(size):
    for place, hashes in stored(size).tiles.items():
        if len(hashes) == TILE_WIDTH * 32:
            continue  # Full tiles are compared with the events, and read when they are needed.
        store = stored(size)
        store.tiles[place] = hashes[:-32]
        with pytest.raises(MissingHash):
            GrowingTree(size, store.tile)


def test_a_hash_that_is_missing_inside_is_noticed_when_it_is_needed(small):
    holes = Store()
    holes.tiles = dict(small.tiles)
    del holes.tiles[0, 1]

    assert Tree(holes.tile).root(256) == root_of(LEAVES[:256])
    with pytest.raises(MissingHash):
        Tree(holes.tile).inclusion(300, 600)


@pytest.mark.parametrize(("index", "size"), [(-1, 5), (5, 5), (0, 0), (7, 5)])
def test_there_is_no_proof_for_a_leaf_that_is_not_there(small, index, size):
    with pytest.raises(ValueError, match="no leaf"):
        Tree(small.tile).inclusion(index, size)


@pytest.mark.parametrize(("old", "new"), [(0, 5), (6, 5), (-1, 5)])
def test_there_is_no_consistency_between_sizes_that_do_not_rise(small, old, new):
    with pytest.raises(ValueError, match="no consistency"):
        Tree(small.tile).consistency(old, new)


def test_the_tree_remembers_a_bounded_number_of_hashes(large, monkeypatch):
    monkeypatch.setattr("hub.proof.tree._CACHED_NODES_MAX", 1000)
    tree = Tree(large.tile)
    for index in range(0, LARGE, 97):
        tree.inclusion(index, LARGE)
        assert len(tree._nodes) <= 1000

    assert tree.root(LARGE) == Tree(large.tile).root(LARGE)
