"""Receipts: each position has exactly one, under the first checkpoint that covered it."""

from __future__ import annotations

from collections.abc import Sequence

from hub.application.lane import Recorded
from hub.application.ports import EventLog, LogEntry, TreeStore
from hub.errors import LedgerMismatch, PositionUnknown, ReceiptDelayed
from hub.ledger.tree import Tree
from hub.proof.merkle import leaf_hash
from hub.proof.receipt import Receipt, TlogProof


class ReceiptBook:
    """Builds receipts from what is stored; publishes how far the log is visible.

    Read by many threads; `publish` is called by the writing lane alone.
    """

    def __init__(self, log: EventLog, store: TreeStore) -> None:
        self._log = log
        self._store = store
        self._tree = Tree(store.tile)
        self._published: tuple[int, bytes] = (0, b"")

    @property
    def size(self) -> int:
        """How many events are visible to anyone."""
        return self._published[0]

    def checkpoint(self) -> bytes:
        """The newest published checkpoint."""
        return self._published[1]

    def publish(self, size: int, checkpoint: bytes) -> None:
        """Make everything below `size` visible."""
        self._published = (size, checkpoint)

    def receipt(self, position: int) -> Recorded:
        """The receipt of one position, always the same bytes.

        Raises PositionUnknown beyond the log, ReceiptDelayed before the checkpoint.
        """
        if position >= self.size:
            if position < self._log.head().next_position:
                raise ReceiptDelayed("recorded, but not yet covered by a signed checkpoint")
            raise PositionUnknown("no such position in the log", position=str(position))
        entries = self._log.entries(position, 1)
        covering = self._store.checkpoint_covering(position)
        if not entries or entries[0].position != position or covering is None:
            raise LedgerMismatch(
                f"event {position} or its checkpoint is missing", position=position
            )
        return _receipt(entries[0], covering, self._tree)

    def consistency(self, old_size: int, new_size: int) -> list[bytes]:
        """The proof that one published tree is the beginning of another."""
        if not 0 < old_size <= new_size <= self.size:
            raise PositionUnknown(
                f"sizes must rise from 1 to {self.size} at the most", size=str(self.size)
            )
        return self._tree.consistency(old_size, new_size)


def receipts_of_batch(
    entries: Sequence[LogEntry], size: int, checkpoint: bytes, tree: Tree
) -> dict[int, Recorded]:
    """The receipts of events that were just covered by one checkpoint, by position."""
    return {entry.position: _receipt(entry, (size, checkpoint), tree) for entry in entries}


def _receipt(entry: LogEntry, covering: tuple[int, bytes], tree: Tree) -> Recorded:
    size, checkpoint = covering
    hashes = tree.inclusion(entry.position, size)
    if tree.leaf(entry.position) != leaf_hash(entry.state):
        raise LedgerMismatch(
            f"event {entry.position} is not the one that was recorded", position=entry.position
        )
    proof = TlogProof(index=entry.position, hashes=tuple(hashes), checkpoint=checkpoint)
    return Recorded(entry.position, Receipt(leaf=entry.state, proof=proof.format()))
