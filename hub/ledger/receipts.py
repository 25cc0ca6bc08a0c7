"""Receipts: each position has exactly one, under the first checkpoint that covered it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import islice

from hub.application.lane import Recorded
from hub.application.ports import Cosignatures, EventLog, LogEntry, TreeStore
from hub.errors import LedgerMismatch, PositionUnknown, ReceiptDelayed
from hub.proof.checkpoint import parse_checkpoint_body
from hub.proof.merkle import HASH_BYTES, leaf_hash
from hub.proof.note import parse_note
from hub.proof.receipt import Receipt, TlogProof
from hub.proof.tiles import TilePath, format_bundle, width_at
from hub.proof.tree import TILE_WIDTH, Tree
from hub.proof.witnessing import with_cosignatures

# Events read in one piece for the receipts of one batch.
_AT_ONCE = 1024


class ReceiptBook:
    """Builds receipts from what is stored; publishes how far the log is visible.

    Read by many threads; `publish` is called by the writing lane alone.
    """

    def __init__(
        self, log: EventLog, store: TreeStore, cosignatures: Cosignatures | None = None
    ) -> None:
        self._log = log
        self._store = store
        self._cosignatures = cosignatures
        self._tree = Tree(store.tile)
        self._published: tuple[int, bytes] = (0, b"")

    @property
    def size(self) -> int:
        """How many events are visible to anyone."""
        return self._published[0]

    def checkpoint(self) -> bytes:
        """The newest published checkpoint."""
        return self._published[1]

    def newest(self) -> tuple[int, bytes]:
        """The newest published checkpoint with its size, 0 before the first."""
        return self._published

    def publish(self, size: int, checkpoint: bytes) -> None:
        """Make everything below `size` visible."""
        self._published = (size, checkpoint)

    def published(self) -> tuple[int, bytes]:
        """How many events are visible, and the checkpoint that covers just these."""
        return self._published

    def frontier(self, size: int) -> list[bytes]:
        """The right edge of the tree of the first `size` events. Raises PositionUnknown."""
        self._require_published(size)
        return self._tree.frontier(size)

    def audit_path(self, position: int, size: int) -> list[bytes]:
        """That an event stands in the tree of `size` events. Raises PositionUnknown."""
        self._require_published(size)
        return self._tree.inclusion(position, size)

    def _require_published(self, size: int) -> None:
        if size > self.size:
            raise PositionUnknown(f"the log has {self.size} events", size=str(self.size))

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

    def receipts(self, positions: Iterable[int]) -> dict[int, Recorded]:
        """The receipts of several positions that are near each other, in few queries.

        Raises as `receipt`, and LedgerMismatch where the stored tree is not the signed one.
        """
        wanted = sorted(set(positions))
        if wanted and wanted[-1] >= self.size:
            raise ReceiptDelayed("recorded, but not yet covered by a signed checkpoint")
        tree, found = self._tree, dict[int, Recorded]()
        covering: tuple[int, bytes] | None = (0, b"")
        for portion in _near(wanted):
            first = portion[0]
            entries = self._log.entries(first, portion[-1] - first + 1)
            for position in portion:
                if covering is not None and position >= covering[0]:
                    covering = self._store.checkpoint_covering(position)
                    # Each tile once; but anew for each tree, since the last ones grow.
                    tree = Tree(cache(self._store.tile))
                    _require_root(tree, covering)
                entry = entries[position - first] if position - first < len(entries) else None
                if covering is None or entry is None or entry.position != position:
                    raise LedgerMismatch(
                        f"event {position} or its checkpoint is missing", position=position
                    )
                found[position] = _receipt(entry, covering, tree)
        return found

    def cosigned(self, position: int, *, beyond: int = 0) -> Recorded:
        """The receipt of one position under the checkpoint that most witnesses cosigned.

        Of several the smallest; one that also covers the position `beyond`. It may be another
        one each time, as cosignatures come; before the first it is the plain receipt.
        Raises as `receipt`.
        """
        plain = self.receipt(position)
        size = self._cosignatures and self._cosignatures.best(max(position, beyond))
        if not self._cosignatures or not size or size > self.size:
            return plain
        covering = self._store.checkpoint_covering(size - 1)
        if covering is None or covering[0] != size:
            raise LedgerMismatch(f"the cosigned checkpoint of size {size} is missing")
        note = with_cosignatures(covering[1], self._cosignatures.of(size))
        hashes = tuple(self._tree.inclusion(position, size))
        proof = TlogProof(index=position, hashes=hashes, checkpoint=note)
        return Recorded(position, Receipt(leaf=plain.receipt.leaf, proof=proof.format()))

    def proof(self, position: int, size: int, checkpoint: bytes) -> bytes:
        """That a position stands under a stored checkpoint of this size (C2SP `tlog-proof`)."""
        hashes = self._tree.inclusion(position, size)
        return TlogProof(index=position, hashes=tuple(hashes), checkpoint=checkpoint).format()

    def consistency(self, old_size: int, new_size: int) -> list[bytes]:
        """The proof that one published tree is the beginning of another."""
        if not 0 < old_size <= new_size <= self.size:
            raise PositionUnknown(
                f"sizes must rise from 1 to {self.size} at the most", size=str(self.size)
            )
        return self._tree.consistency(old_size, new_size)

    def inclusion(self, position: int, size: int) -> list[bytes]:
        """The proof that the leaf at a position stands in the tree of a published size."""
        if not 0 <= position < size <= self.size:
            raise PositionUnknown(
                f"a position below a size of at most {self.size} is needed", size=str(self.size)
            )
        return self._tree.inclusion(position, size)

    def checkpoints(self, after: int, limit: int) -> list[tuple[int, bytes]]:
        """At most `limit` published checkpoints of a larger size than `after`, by rising size."""
        size = self.size
        if after >= size:
            return []
        larger = (each for each in self._store.checkpoints(after) if each[0] <= size)
        return list(islice(larger, limit))

    def file(self, path: TilePath) -> bytes | None:
        """A tile or an entry bundle as published; None beyond the newest checkpoint.

        Raises LedgerMismatch for events or hashes that are missing, and for an event that
        does not hash to its leaf.
        """
        if path.width > width_at(path.level or 0, path.number, self.size):
            return None
        hashes = self._hashes(path.level or 0, path.number, path.width)
        if path.level is not None:
            return hashes
        start = path.number * TILE_WIDTH
        entries = self._log.entries(start, path.width)
        for offset in range(path.width):
            entry = entries[offset] if offset < len(entries) else None
            if entry is None or leaf_hash(entry.state) != hashes[offset * 32 : offset * 32 + 32]:
                raise LedgerMismatch(
                    f"event {start + offset} is not the one that was recorded",
                    position=start + offset,
                )
        return format_bundle([entry.state for entry in entries])

    def _hashes(self, level: int, number: int, width: int) -> bytes:
        hashes = self._store.tile(level, number)[: width * HASH_BYTES]
        if len(hashes) != width * HASH_BYTES:
            raise LedgerMismatch(f"tile {level}/{number} is incomplete")
        return hashes


def _near(positions: Sequence[int]) -> Iterator[Sequence[int]]:
    """Risen positions in portions that are read at once, with what stands between them."""
    portion: list[int] = []
    for position in positions:
        if portion and position - portion[0] >= _AT_ONCE:
            yield portion
            portion = []
        portion.append(position)
    if portion:
        yield portion


def _require_root(tree: Tree, covering: tuple[int, bytes] | None) -> None:
    """Refuse a stored tree that another hub has not signed so."""
    if covering is None:
        return
    signed = parse_checkpoint_body(parse_note(covering[1]).text)
    if (signed.size, signed.root) != (covering[0], tree.root(covering[0])):
        raise LedgerMismatch(
            f"the stored tree of size {covering[0]} is not the one that was signed",
            position=covering[0] - 1,
        )


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
