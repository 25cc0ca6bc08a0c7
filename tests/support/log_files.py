"""The log of a stopped hub as files, as `tlog-tiles` has them: a small tree in one go."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from hub.bootstrap.folder import DataFolder
from hub.proof.merkle import HASH_BYTES, leaf_hash
from hub.proof.tiles import CHECKPOINT_PATH, TILE_BYTES, TilePath, format_bundle
from hub.proof.tree import TILE_WIDTH, tile_root


def write_log_files(folder: DataFolder, to: Path) -> Path:
    """Write tiles, entries and the newest checkpoint below `to`."""
    with closing(sqlite3.connect(folder.database)) as database:
        rows = database.execute("SELECT state FROM events ORDER BY position")
        leaves = [bytes(row[0]) for row in rows]
        newest = "SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1"
        note = bytes(database.execute(newest).fetchone()[0])
    for start in range(0, len(leaves), TILE_WIDTH):
        some = leaves[start : start + TILE_WIDTH]
        _put(to, TilePath(None, start // TILE_WIDTH, len(some)), format_bundle(some))
    level, hashes = 0, b"".join(map(leaf_hash, leaves))
    while hashes:
        above = b""
        for start in range(0, len(hashes), TILE_BYTES):
            tile = hashes[start : start + TILE_BYTES]
            _put(to, TilePath(level, start // TILE_BYTES, len(tile) // HASH_BYTES), tile)
            above += tile_root(tile) if len(tile) == TILE_BYTES else b""
        level, hashes = level + 1, above
    (to / CHECKPOINT_PATH).write_bytes(note)
    return to


def _put(to: Path, path: TilePath, data: bytes) -> None:
    file = to / path.format()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
