"""Tiles and checkpoints in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from adapters.memory.faults import FaultSwitch, breakable
from hub.errors import LedgerMismatch

HASH_BYTES = 32
TILE_BYTES_MAX = 256 * HASH_BYTES


class MemoryTreeStore:
    """The port TreeStore."""

    def __init__(self) -> None:
        self._tiles: dict[tuple[int, int], bytes] = {}
        self._checkpoints: dict[int, bytes] = {}
        self._published: set[int] = set()
        self._former: dict[tuple[int, str], bytes] = {}
        self.faults = FaultSwitch(self)

    @breakable
    def tile(self, level: int, number: int) -> bytes:
        """The hashes a tile holds so far, 32 bytes each; empty when there is none."""
        return self._tiles.get((level, number), b"")

    @breakable
    def tiles(self) -> Iterator[tuple[int, int, bytes]]:
        """Every tile as (level, number, hashes) in this order."""
        return iter([(*place, data) for place, data in sorted(self._tiles.items())])

    @breakable
    def publish(self, tiles: Mapping[tuple[int, int], bytes], size: int, checkpoint: bytes) -> None:
        """Store tiles and the checkpoint over them; the same again changes nothing.

        Raises LedgerMismatch for what would change or step back, ValueError for a tile that
        is no whole number of hashes.
        """
        self._require_growth(tiles)
        if size < max(self._checkpoints, default=0):
            raise LedgerMismatch("a larger checkpoint was published before")
        if self._checkpoints.get(size, checkpoint) != checkpoint:
            raise LedgerMismatch("another checkpoint of this size was published before")
        self._tiles |= {place: bytes(data) for place, data in tiles.items()}
        self._checkpoints[size] = bytes(checkpoint)
        self._published.add(size)

    @breakable
    def keep_tiles(self, tiles: Mapping[tuple[int, int], bytes]) -> None:
        """Store tiles that no checkpoint covers yet."""
        self._require_growth(tiles)
        self._tiles |= {place: bytes(data) for place, data in tiles.items()}

    def _require_growth(self, tiles: Mapping[tuple[int, int], bytes]) -> None:
        for place, data in tiles.items():
            if not 0 < len(data) <= TILE_BYTES_MAX or len(data) % HASH_BYTES:
                raise ValueError("a tile holds 1 to 256 hashes of 32 bytes")
            if not data.startswith(self._tiles.get(place, b"")):
                raise LedgerMismatch("a tile only grows, and its beginning never changes")

    @breakable
    def latest_checkpoint(self) -> tuple[int, bytes] | None:
        """The newest checkpoint with its size."""
        return max(self._checkpoints.items(), default=None)

    @breakable
    def checkpoint_covering(self, position: int) -> tuple[int, bytes] | None:
        """The first checkpoint whose tree holds the position: that of its receipt."""
        covering = (each for each in self._checkpoints.items() if each[0] > position)
        return min(covering, default=None)

    @breakable
    def checkpoints(self, after: int = -1) -> Iterator[tuple[int, bytes]]:
        """Every checkpoint of a larger size than `after`, by rising size."""
        return iter(sorted(each for each in self._checkpoints.items() if each[0] > after))

    @breakable
    def checkpoints_missing(self, after: int = -1) -> Iterator[int]:
        """The sizes of checkpoints that were published and are not there, by rising size."""
        missing = self._published - self._checkpoints.keys()
        return iter(sorted(size for size in missing if size > after))

    @breakable
    def close(self, origin: str) -> None:
        """Put all checkpoints away as those of a log that ended."""
        self._former |= {(size, origin): note for size, note in self._checkpoints.items()}
        self._checkpoints.clear()
        self._published.clear()

    @breakable
    def former_checkpoints(self) -> Iterator[tuple[str, int, bytes]]:
        """Those of logs that ended, as (origin, size, signed note), by rising size."""
        return iter([(origin, size, note) for (size, origin), note in sorted(self._former.items())])
