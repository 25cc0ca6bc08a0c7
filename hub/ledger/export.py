"""A log as static files, in the order they are written: entries, tiles, checkpoint last.

The layout is C2SP tlog-tiles, which third-party tools read as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hub.application.ports import EventLog, LogFolder, TreeStore
from hub.errors import ExportRefused, LedgerMismatch, VerificationFailed
from hub.ledger.sequencer import compare_tiles, read_entries
from hub.proof.checkpoint import Checkpoint
from hub.proof.merkle import HASH_BYTES, leaf_hashes
from hub.proof.tiles import TilePath, format_bundle, parse_bundle
from hub.proof.tree import TILE_HEIGHT, TILE_WIDTH, GrowingTree, MissingHash, Tree
from hub.proof.trust import TrustedRoot


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export did: the tree it holds, and how many files were new or there already."""

    checkpoint: Checkpoint
    written: int
    found: int


def export_log(
    log: EventLog,
    store: TreeStore,
    trust: TrustedRoot,
    folder: LogFolder,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Exported:
    """Write the log up to its newest checkpoint, or go on where an earlier export ended.

    1. What the folder holds is a beginning of this log. 2. Every event hashes to its stored
    leaf, and is written with the tiles it completes; a file that is there must be the same.
    3. The tree has the signed root. 4. The checkpoint is written, and only then partial tiles
    that have been filled are removed. If we stop before 4, the next export goes on, and the
    folder still holds what its old checkpoint says.

    `progress(done, total)` counts events. In memory lie 256 events at a time. Raises
    ExportRefused, and LedgerMismatch naming the first event that differs.
    """
    newest = store.latest_checkpoint()
    if newest is None:
        raise LedgerMismatch("no checkpoint was ever published: there is nothing to export")
    checkpoint = _opened(newest[1], trust)
    # (1) It must not be mixed with another log, nor with another history of this one.
    _require_beginning(log, store, trust, folder, checkpoint)
    # (2) and (3)
    written = found = 0
    for path, data in log_files(log, store, checkpoint, progress=progress):
        there = folder.file(path, len(data))
        if there is None:
            folder.put(path, data)
            written += 1
        elif there == data:
            found += 1
        else:
            raise _differs(path, data, there)
    # (4)
    folder.commit(newest[1])
    for path in _full_tiles(checkpoint.size):
        folder.drop_partial(path)
    return Exported(checkpoint, written, found)


def log_files(
    log: EventLog,
    store: TreeStore,
    checkpoint: Checkpoint,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[tuple[TilePath, bytes]]:
    """Every file of a log at one checkpoint but the checkpoint itself, each one checked.

    Raises LedgerMismatch naming the first event that differs; at the end, when events and
    tiles agree but not with the root of the checkpoint.
    """
    # Full tiles were compared before they are read again here: they stand for the events.
    growing = GrowingTree(0, store.tile)
    size = checkpoint.size
    for start in range(0, size, TILE_WIDTH):
        leaves = _leaves(log, start, min(TILE_WIDTH, size - start))
        growing.append(leaf_hashes(leaves))
        changed = sorted(growing.changed.items())
        compare_tiles(growing, store)
        yield TilePath(None, start // TILE_WIDTH, len(leaves)), format_bundle(leaves)
        for (level, number), hashes in changed:
            width = len(hashes) // HASH_BYTES
            if width == TILE_WIDTH or growing.size == size:
                yield TilePath(level, number, width), hashes
        progress(growing.size, size)
    if growing.tree.root(size) != checkpoint.root:
        raise LedgerMismatch(f"events and tiles agree, but not with the signed root of size {size}")


def _leaves(log: EventLog, start: int, count: int) -> list[bytes]:
    leaves = [entry.state for chunk in read_entries(log, start, count) for entry in chunk]
    if len(leaves) < count:
        missing = start + len(leaves)
        raise LedgerMismatch(f"event {missing} is missing", position=missing)
    return leaves


def _opened(note: bytes, trust: TrustedRoot) -> Checkpoint:
    try:
        return trust.open_checkpoint(note).checkpoint
    except VerificationFailed as failure:
        raise LedgerMismatch(f"the newest checkpoint is not ours: {failure}") from failure


def _require_beginning(
    log: EventLog, store: TreeStore, trust: TrustedRoot, folder: LogFolder, ours: Checkpoint
) -> None:
    note = folder.checkpoint()
    if note is None:
        return
    try:
        theirs = trust.open_checkpoint(note).checkpoint
    except VerificationFailed as failure:
        raise ExportRefused(f"the checkpoint in the folder is not of this log: {failure}") from None
    if theirs.origin != ours.origin:
        raise ExportRefused(f"the folder holds the log {theirs.origin}, not {ours.origin}")
    if theirs.size > ours.size:
        raise ExportRefused(
            f"the folder holds {theirs.size} events, the hub's log only {ours.size}: the first "
            f"that the hub has lost is {ours.size}"
        )
    ours = Checkpoint(theirs.origin, theirs.size, _root(store, theirs.size))
    if ours != theirs:
        _name_first_difference(log, store, folder, ours)
        raise ExportRefused(
            f"the folder holds another tree of {theirs.size} events than the hub, both signed: "
            "two histories; its files are those of the hub, its checkpoint is not"
        )


def _name_first_difference(
    log: EventLog, store: TreeStore, folder: LogFolder, ours: Checkpoint
) -> None:
    for path, data in log_files(log, store, ours):
        if (there := folder.file(path, len(data))) not in (None, data):
            raise _differs(path, data, there or b"")


def _root(store: TreeStore, size: int) -> bytes:
    try:
        return Tree(store.tile).root(size)
    except MissingHash as error:
        raise LedgerMismatch(f"the stored tree is incomplete: {error}") from error


def _differs(path: TilePath, ours: bytes, theirs: bytes) -> ExportRefused:
    position = _first_difference(path, ours, theirs)
    if position is None:
        return ExportRefused(f"the folder's {path.format()} is not what the hub's events make it")
    return ExportRefused(
        f"event {position} in the folder is not the hub's: {path.format()} differs from there on"
    )


def _first_difference(path: TilePath, ours: bytes, theirs: bytes) -> int | None:
    """The position of the first event that two bundles, or two tiles of leaves, differ in."""
    start = path.number * TILE_WIDTH
    if path.level is None:
        try:
            bundles = parse_bundle(ours, width=path.width), parse_bundle(theirs, width=path.width)
        except VerificationFailed:
            return None
        pairs = zip(*bundles, strict=True)
        return next((start + n for n, (one, other) in enumerate(pairs) if one != other), None)
    if path.level == 0 and len(ours) == len(theirs):
        offset = next(n for n, byte in enumerate(ours) if theirs[n] != byte)
        return start + offset // HASH_BYTES
    return None


def _full_tiles(size: int) -> Iterator[TilePath]:
    """The paths of the full bundles and tiles of a tree."""
    yield from (TilePath(None, number) for number in range(size // TILE_WIDTH))
    level = 0
    while full := size >> (TILE_HEIGHT * (level + 1)):
        yield from (TilePath(level, number) for number in range(full))
        level += 1
