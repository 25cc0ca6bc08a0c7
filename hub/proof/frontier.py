"""The right edge of a growing tree: enough to go on hashing, in memory that hardly grows.

A tree of any size is a row of complete subtrees, one for each bit set in its size, the
largest first (RFC 6962 section 2.1). Their roots are all that is needed to add leaves and
to know the root: 64 hashes at the most.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hub.errors import VerificationFailed
from hub.proof.merkle import EMPTY_ROOT, HASH_BYTES, leaf_hashes, node_hash, row_above
from hub.proof.strict import INTEGER_MAX


class Frontier:
    """A tree known by its right edge. Proves nothing by itself: compare its root."""

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = ()) -> None:
        """The edge of the tree of `size` leaves: the roots of its complete subtrees.

        Raises VerificationFailed(step="frontier") for another number of hashes than that of
        the bits set in `size`, and for one that does not have 32 bytes.
        """
        if not 0 <= size <= INTEGER_MAX or len(hashes) != size.bit_count():
            raise VerificationFailed("the frontier does not fit its size", step="frontier")
        if any(len(value) != HASH_BYTES for value in hashes):
            raise VerificationFailed(f"a hash does not have {HASH_BYTES} bytes", step="frontier")
        self.size = size
        self._hashes = list(hashes)

    def append(self, leaf: bytes) -> None:
        """Take in the next leaf by its exact bytes."""
        self.extend((leaf,))

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Take in the next leaves by their exact bytes, in order."""
        row, width = leaf_hashes(leaves), self.size
        self.size += len(row)
        left_over: list[bytes] = []
        # As in binary addition, for all at once: level by level two subtrees become one of twice
        # the size, and one without a neighbour to its right stays.
        while row:
            if width & 1:
                row.insert(0, self._hashes.pop())
            if len(row) & 1:
                left_over.append(row.pop())
            row, width = row_above(row), width >> 1
        self._hashes += reversed(left_over)

    def root(self) -> bytes:
        """The root of the tree as it is now."""
        if not self._hashes:
            return EMPTY_ROOT
        *others, root = self._hashes
        for subtree in reversed(others):
            root = node_hash(subtree, root)
        return root


def subtrees(size: int) -> list[tuple[int, int]]:
    """The complete subtrees of a tree of `size` leaves as (level, number), left to right."""
    found, begin = [], 0
    for level in reversed(range(size.bit_length())):
        if size >> level & 1:
            found.append((level, begin >> level))
            begin += 1 << level
    return found
