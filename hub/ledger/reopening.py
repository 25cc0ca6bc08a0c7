"""What is still there of a log that cannot go on, and what its old key is known to have signed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from hub.application.ports import EventLog, TreeStore
from hub.errors import LedgerMismatch, VerificationFailed
from hub.ledger.restore import append_leaves, append_rest
from hub.ledger.sequencer import read_entries, require_columns
from hub.proof.checkpoint import Checkpoint
from hub.proof.merkle import leaf_hashes
from hub.proof.receipt import Receipt, parse_tlog_proof, verify_receipt
from hub.proof.tiles import TiledLog
from hub.proof.tree import GrowingTree
from hub.proof.trust import TrustedRoot

# Leaves of kept receipts in memory at once; each may have 64 KiB, most have less than one.
_LEAVES_MAX = 100_000

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Signed:
    """A tree that the old key signed; `note` is empty where only the signer remembers it."""

    checkpoint: Checkpoint
    note: bytes = b""


@dataclass(frozen=True, slots=True)
class Survey:
    """The tree that is there, and the newest one that was signed."""

    kept: Checkpoint
    last: Signed


def survey(
    log: EventLog,
    store: TreeStore,
    *,
    origin: str,
    trust: TrustedRoot,
    export: TiledLog | None,
    receipts: Iterable[Receipt],
    remembered: Checkpoint | None,
    progress: Progress = lambda done, total: None,
) -> Survey:
    """Fill the log up with what others kept, and say how far it goes.

    1. The log itself is read, its tiles made good. 2. What an export has beyond it is added.
    3. Whole stretches that receipts prove are added, up to a checkpoint. 4. Every tree that
    the old key is known to have signed, and that is no larger, must be a beginning of this
    one. 5. The largest of them all is the last.

    Only appends, and may be repeated. Raises LedgerMismatch naming the first position from
    which the log and something signed differ: then nothing may be reopened before an auditor
    has looked.
    """
    # (1) As it is.
    growing = _grown(log, store, progress)
    # (2) An export is one tree under one checkpoint.
    signed: dict[bytes, Signed] = {}
    if export is not None:
        _require_beginning_of(log, export, growing)
        append_rest(log, store, export, growing)
        _note(signed, Signed(export.checkpoint, export.note))
    # (3) Receipts hold single leaves.
    leaves = _leaves_in(receipts, trust, signed, start=growing.size)
    _append_stretches(log, store, growing, leaves, signed)
    # (4) What was signed must be on this tree.
    if newest := store.latest_checkpoint():
        _note(signed, Signed(trust.open_checkpoint(newest[1]).checkpoint, newest[1]))
    if remembered is not None:
        _note(signed, Signed(remembered))
    _require_one_history(growing, signed)
    # (5) Where there is none at all, there is no log.
    if not signed:
        raise LedgerMismatch("nothing is known that the old key signed")
    kept = Checkpoint(origin, growing.size, growing.tree.root(growing.size))
    return Survey(kept, max(signed.values(), key=lambda each: (each.checkpoint.size, each.note)))


def _grown(log: EventLog, store: TreeStore, progress: Progress) -> GrowingTree:
    growing = GrowingTree(0, store.tile)
    head = log.head().next_position
    for chunk in read_entries(log, 0, head):
        for entry in chunk:
            require_columns(entry)
        growing.append(leaf_hashes(entry.state for entry in chunk))
        store.keep_tiles(growing.changed)
        growing.stored()
        progress(growing.size, head)
    if growing.size < head:
        raise LedgerMismatch(f"event {growing.size} is missing", position=growing.size)
    return growing


def _require_beginning_of(log: EventLog, export: TiledLog, growing: GrowingTree) -> None:
    size = min(growing.size, export.size)
    if growing.tree.root(size) == export.root(size):
        return
    position = next(n for n in range(size) if growing.tree.leaf(n) != export.leaf_hash(n))
    raise LedgerMismatch(
        f"event {position} in the database is not the one in the export: keep both",
        position=position,
    )


def _note(signed: dict[bytes, Signed], new: Signed) -> None:
    known = signed.get(new.checkpoint.body)
    if known is None or not known.note:
        signed[new.checkpoint.body] = new


def _leaves_in(
    receipts: Iterable[Receipt], trust: TrustedRoot, signed: dict[bytes, Signed], *, start: int
) -> dict[int, bytes]:
    """The leaves from `start` on that receipts prove, by position; their checkpoints are noted."""
    leaves: dict[int, bytes] = {}
    for receipt in receipts:
        try:
            position = verify_receipt(receipt, trust).position
            note = parse_tlog_proof(receipt.proof).checkpoint
            _note(signed, Signed(trust.open_checkpoint(note).checkpoint, note))
        except VerificationFailed:
            continue  # Of another log, or damaged: it proves nothing here.
        if position >= start and len(leaves) < _LEAVES_MAX:
            leaves[position] = receipt.leaf
    return leaves


def _append_stretches(
    log: EventLog,
    store: TreeStore,
    growing: GrowingTree,
    leaves: Mapping[int, bytes],
    signed: Mapping[bytes, Signed],
) -> None:
    """Append leaves as far as there is no gap below a tree that was signed."""
    for size in sorted({each.checkpoint.size for each in signed.values()}):
        stretch = range(growing.size, size)
        if stretch and all(position in leaves for position in stretch):
            _append_proven(log, store, growing, [leaves[n] for n in stretch], signed)


def _append_proven(
    log: EventLog,
    store: TreeStore,
    growing: GrowingTree,
    leaves: list[bytes],
    signed: Mapping[bytes, Signed],
) -> None:
    start, size = growing.size, growing.size + len(leaves)
    # Tried on the side: what does not lead to the signed root must not be written.
    tried = GrowingTree(start, growing.tile)
    tried.append(leaf_hashes(leaves))
    root = tried.tree.root(size)
    if any(
        each.checkpoint.size == size and each.checkpoint.root != root for each in signed.values()
    ):
        raise LedgerMismatch(
            f"the receipts kept for the events from {start} on do not lead to the root that was "
            f"signed at size {size}",
            position=start,
        )
    append_leaves(log, leaves)
    growing.append(leaf_hashes(leaves))
    store.keep_tiles(growing.changed)
    growing.stored()


def _require_one_history(growing: GrowingTree, signed: Mapping[bytes, Signed]) -> None:
    sound = 0
    trees: dict[int, bytes] = {}
    for each in sorted(signed.values(), key=lambda each: each.checkpoint.size):
        checkpoint = each.checkpoint
        if trees.setdefault(checkpoint.size, checkpoint.root) != checkpoint.root:
            raise LedgerMismatch(
                f"two trees of size {checkpoint.size} were signed: keep both", position=sound
            )
        if checkpoint.size > growing.size:
            continue
        if growing.tree.root(checkpoint.size) != checkpoint.root:
            raise LedgerMismatch(
                f"the events do not hash to the root that was signed at size {checkpoint.size}",
                position=sound,
            )
        sound = checkpoint.size
