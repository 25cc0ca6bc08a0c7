"""The Merkle tree over stored hash tiles: growing it, and building proofs from it.

RFC 6962 hashing; tiles as in C2SP tlog-tiles: tile (L, N) holds, in order, the hashes of
the complete subtrees of height 8·L numbered 256·N and up, at most 256 of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from hub.proof.frontier import subtrees
from hub.proof.merkle import EMPTY_ROOT, HASH_BYTES, node_hash, row_above

TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT
_TILE_BYTES = TILE_WIDTH * HASH_BYTES
# Some 12 MiB; a process that serves has two of these.
_CACHED_NODES_MAX = 50_000

Tile = Callable[[int, int], bytes]
"""(level, number) → the hashes a tile holds so far."""


class Tree:
    """Reads hashes and builds proofs for trees of any size up to what the tiles hold.

    The hash of a complete subtree never changes, so it is remembered once computed.
    """

    def __init__(self, tile: Tile) -> None:
        self._tile = tile
        self._nodes: dict[tuple[int, int], bytes] = {}

    def root(self, size: int) -> bytes:
        """The root of the first `size` leaves."""
        return self._range(0, size) if size else EMPTY_ROOT

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """The audit path of a leaf in the tree of `size` leaves (RFC 6962, 2.1.1)."""
        if not 0 <= index < size:
            raise ValueError(f"no leaf {index} in a tree of {size}")
        path: list[bytes] = []
        begin, end = 0, size
        while end - begin > 1:
            middle = begin + _split(end - begin)
            if index < middle:
                path.append(self._range(middle, end))
                end = middle
            else:
                path.append(self._range(begin, middle))
                begin = middle
        path.reverse()
        return path

    def consistency(self, old_size: int, new_size: int) -> list[bytes]:
        """That the first `old_size` leaves are the same in both trees (RFC 6962, 2.1.2)."""
        if not 0 < old_size <= new_size:
            raise ValueError(f"no consistency between sizes {old_size} and {new_size}")
        proof: list[bytes] = []
        begin, end, whole = 0, new_size, True
        while old_size != end:
            middle = begin + _split(end - begin)
            if old_size <= middle:
                proof.append(self._range(middle, end))
                end = middle
            else:
                proof.append(self._range(begin, middle))
                begin, whole = middle, False
        if not whole:
            proof.append(self._range(begin, end))
        proof.reverse()
        return proof

    def frontier(self, size: int) -> list[bytes]:
        """The roots of the complete subtrees of the tree of `size` leaves, left to right."""
        return [self._node(level, number) for level, number in subtrees(size)]

    def leaf(self, index: int) -> bytes:
        """The hash of one leaf."""
        return self._node(0, index)

    def _range(self, begin: int, end: int) -> bytes:
        width = end - begin
        if width & (width - 1) == 0 and begin % width == 0:
            level = width.bit_length() - 1
            return self._node(level, begin >> level)
        middle = begin + _split(width)
        return node_hash(self._range(begin, middle), self._range(middle, end))

    def _node(self, level: int, index: int) -> bytes:
        known = self._nodes.get((level, index))
        if known is not None:
            return known
        if level % TILE_HEIGHT == 0:
            node = self._stored(level // TILE_HEIGHT, index)
        else:
            node = node_hash(self._node(level - 1, 2 * index), self._node(level - 1, 2 * index + 1))
        if len(self._nodes) >= _CACHED_NODES_MAX:
            self._nodes.clear()
        self._nodes[level, index] = node
        return node

    def _stored(self, tile_level: int, index: int) -> bytes:
        number, offset = divmod(index, TILE_WIDTH)
        node = self._tile(tile_level, number)[offset * HASH_BYTES : (offset + 1) * HASH_BYTES]
        if len(node) != HASH_BYTES:
            raise MissingHash(tile_level, number, offset)
        return node


class MissingHash(Exception):
    """The tiles do not hold a hash that a tree of this size must have."""

    def __init__(self, tile_level: int, number: int, offset: int) -> None:
        super().__init__(f"tile {tile_level}/{number} has no hash {offset}")


class GrowingTree:
    """The right edge of the tree: takes in leaves, fills tiles."""

    def __init__(self, size: int, tile: Tile) -> None:
        """The edge of the tree of `size` leaves, read from stored tiles.

        Raises MissingHash when they hold less than that.
        """
        self.size = size
        self.changed: dict[tuple[int, int], bytes] = {}
        self._stored = tile
        self._edge: list[bytearray] = []
        self._numbers: list[int] = []
        width = size
        while width:
            number, count = divmod(width, TILE_WIDTH)
            hashes = tile(len(self._edge), number)[: count * HASH_BYTES] if count else b""
            if len(hashes) != count * HASH_BYTES:
                raise MissingHash(len(self._edge), number, len(hashes) // HASH_BYTES)
            self._edge.append(bytearray(hashes))
            self._numbers.append(number)
            width = number
        self.tree = Tree(self.tile)

    def tile(self, level: int, number: int) -> bytes:
        """A tile as it is now, stored or not."""
        if level < len(self._edge) and self._numbers[level] == number and self._edge[level]:
            return bytes(self._edge[level])
        return self.changed.get((level, number)) or self._stored(level, number)

    def append(self, leaf_hashes: Iterable[bytes]) -> None:
        """Take in the hashes of further leaves; `changed` then holds the tiles to store."""
        leaves = b"".join(leaf_hashes)
        self.size += len(leaves) // HASH_BYTES
        self._push(0, leaves)
        for level, hashes in enumerate(self._edge):
            if hashes:
                self.changed[level, self._numbers[level]] = bytes(hashes)

    def stored(self) -> None:
        """Everything in `changed` is stored now."""
        self.changed.clear()

    def _push(self, level: int, nodes: bytes) -> None:
        if level == len(self._edge):
            self._edge.append(bytearray())
            self._numbers.append(0)
        edge = self._edge[level]
        edge += nodes
        above = b""
        while len(edge) >= _TILE_BYTES:
            full = bytes(edge[:_TILE_BYTES])
            self.changed[level, self._numbers[level]] = full
            del edge[:_TILE_BYTES]
            self._numbers[level] += 1
            above += tile_root(full)
        if above:
            self._push(level + 1, above)


def tile_root(tile: bytes) -> bytes:
    """The hash of a complete subtree over these hashes, a power of two of them."""
    row: Sequence[bytes] = [tile[n : n + HASH_BYTES] for n in range(0, len(tile), HASH_BYTES)]
    while len(row) > 1:
        row = row_above(row)
    return row[0]


def _split(width: int) -> int:
    """The largest power of two smaller than `width`."""
    return 1 << ((width - 1).bit_length() - 1)
