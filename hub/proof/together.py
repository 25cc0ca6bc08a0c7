"""What many receipts show together: whether the trees behind them are one that grew.

An audit path says more than where its leaf stands: its hashes on the left make up the whole
tree before the leaf. So a receipt at position N shows the root that the log had at size N and
at N + 1, and whatever was signed at these sizes must have that root.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hub.errors import VerificationFailed
from hub.proof.checkpoint import Checkpoint
from hub.proof.findings import Finding, Findings, Verdict
from hub.proof.merkle import node_hash

# Beyond so many sizes new ones are only compared with those that are remembered: some 100 MB.
SIZES_MAX = 250_000


class Together:
    """The signed trees of many files. Memory is bounded; used by one thread."""

    def __init__(self) -> None:
        self._signed: dict[tuple[str, int], tuple[bytes, Path]] = {}
        self._shown: dict[tuple[str, int], tuple[bytes, int, Path]] = {}
        self._joined: dict[tuple[str, int], tuple[str, int]] = {}
        self._file = Path()
        self._forgotten = False

    def begin(self, file: Path) -> None:
        """What follows comes from this file."""
        self._file = file

    def saw_tree(self, checkpoint: Checkpoint) -> None:
        """A tree that the log signed. Raises VerificationFailed where files contradict it."""
        at = (checkpoint.origin, checkpoint.size)
        if (known := self._signed.get(at)) is not None:
            self._require(known[0] == checkpoint.root, checkpoint.size, known[1])
            return
        if len(self._signed) >= SIZES_MAX:
            self._forgotten = True
            return
        self._signed[at] = (checkpoint.root, self._file)
        self._joined[at] = at
        if (shown := self._shown.pop(at, None)) is not None:
            root, size, file = shown
            self._require(root == checkpoint.root, checkpoint.size, file)
            self._join(at, (checkpoint.origin, size))

    def saw_path(
        self, checkpoint: Checkpoint, index: int, leaf: bytes, hashes: Sequence[bytes]
    ) -> None:
        """An audit path that was verified, of the leaf with this hash.

        Raises VerificationFailed where the tree it shows contradicts another file.
        """
        self.saw_tree(checkpoint)
        before, upto = roots_on_the_way(index, checkpoint.size, leaf, hashes)
        if before is not None:
            self._shows(checkpoint, index, before)
        self._shows(checkpoint, index + 1, upto)

    def saw_link(self, old: Checkpoint, new: Checkpoint) -> None:
        """A consistency proof that was verified. Raises VerificationFailed as `saw_tree`."""
        self.saw_tree(old)
        self.saw_tree(new)
        at = (old.origin, old.size)
        if at in self._joined:
            self._join(at, (new.origin, new.size))

    def findings(self) -> Findings | None:
        """How many of the trees are proven to be one; None where there is only one."""
        if len(self._signed) < 2:
            return None
        proven = max(self._sizes_of_sets())
        if proven == len(self._signed) and not self._forgotten:
            text = f"The {proven} trees behind these files are one that grew."
            return Findings((Finding(1, Verdict.PROVEN, text),))
        text = (
            f"That the {len(self._signed)} trees behind these files are one that grew is the hub's"
            f" word; what the files hold proves it of {proven}. Nothing contradicts it."
        )
        return Findings((Finding(1, Verdict.STATED, text),))

    def _shows(self, tree: Checkpoint, size: int, root: bytes) -> None:
        at, whole = (tree.origin, size), (tree.origin, tree.size)
        if (signed := self._signed.get(at)) is not None:
            self._require(signed[0] == root, size, signed[1])
            self._join(at, whole)
        elif (shown := self._shown.get(at)) is not None:
            self._require(shown[0] == root, size, shown[2])
        elif len(self._shown) < SIZES_MAX:
            self._shown[at] = (root, tree.size, self._file)

    def _require(self, agrees: bool, size: int, other: Path) -> None:
        if not agrees:
            name = str(other) if str(other).isprintable() else repr(str(other))
            raise VerificationFailed(
                f"the log signed two histories: another file shows another tree of size {size}:"
                f" {name}",
                step="together",
            )

    # Which sizes are proven to be of one tree: each leads to the first of its set.

    def _join(self, one: tuple[str, int], other: tuple[str, int]) -> None:
        if other in self._joined:  # Else it is one of those that are not remembered.
            self._joined[self._first(one)] = self._first(other)

    def _first(self, at: tuple[str, int]) -> tuple[str, int]:
        while self._joined[at] != at:
            self._joined[at] = at = self._joined[self._joined[at]]
        return at

    def _sizes_of_sets(self) -> list[int]:
        counts: dict[tuple[str, int], int] = {}
        for at in self._joined:
            first = self._first(at)
            counts[first] = counts.get(first, 0) + 1
        return list(counts.values())


def roots_on_the_way(
    index: int, size: int, leaf: bytes, hashes: Sequence[bytes]
) -> tuple[bytes | None, bytes]:
    """The roots of the first `index` leaves and of one more, by a verified audit path.

    The climb of RFC 9162 section 2.1.3.2; None for the tree before the first leaf.
    """
    fn, sn = index, size - 1
    before, upto = None, leaf
    for sibling in hashes:
        if fn & 1 or fn == sn:
            before = sibling if before is None else node_hash(sibling, before)
            upto = node_hash(sibling, upto)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        fn, sn = fn >> 1, sn >> 1
    return before, upto
