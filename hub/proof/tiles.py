"""A log as files: where its tiles and entries lie, and how they are proven by a checkpoint.

Source: c2sp.org/tlog-tiles. The files may come from anywhere, a folder or a stranger's web
server: nothing in them is believed before it leads to the root of a checkpoint that is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from hub.errors import VerificationFailed
from hub.proof.checkpoint import Checkpoint, OpenedCheckpoint
from hub.proof.leaf import LEAF_BYTES_MAX
from hub.proof.merkle import EMPTY_ROOT, HASH_BYTES, leaf_hash, node_hash
from hub.proof.note import NOTE_BYTES_MAX
from hub.proof.tree import TILE_HEIGHT, TILE_WIDTH, Tree, tile_root
from hub.proof.trust import TrustedRoot

CHECKPOINT_PATH = "checkpoint"
TILE_BYTES = TILE_WIDTH * HASH_BYTES
# Proven tiles kept for the next question: 2 MB.
_KEPT_TILES_MAX = 256

Read = Callable[[str, int], bytes | None]
"""(path below the log, bytes wanted at the most) → the file's bytes; None if there is none.

It may return one byte more than wanted of a file that is too large, which is then refused.
Raises OSError when it cannot be told, which is neither proof nor refutation.
"""

_PATH = re.compile(
    r"tile/(?P<level>entries|0|[1-9][0-9]?)/(?P<groups>(?:x[0-9]{3}/){0,6})(?P<last>[0-9]{3})"
    r"(?:\.p/(?P<width>[1-9][0-9]{0,2}))?"
)


class LogFileMissing(VerificationFailed):
    """A file that a log of this size has is not there: nothing is refuted, nothing proven."""


@dataclass(frozen=True, slots=True)
class TilePath:
    """A tile of hashes, or for `level` None the bundle of the entries below a tile of level 0.

    `number` counts the tiles of a level from 0. `width` is how many hashes or entries it
    holds: 256, or less for a partial one at the right edge of a tree.
    """

    level: int | None
    number: int
    width: int = TILE_WIDTH

    @classmethod
    def parse(cls, path: str) -> TilePath | None:
        """Read the one spelling of a path below the log; None for anything else."""
        found = _PATH.fullmatch(path)
        if found is None:
            return None
        level = None if found["level"] == "entries" else int(found["level"])
        number = int(found["groups"].replace("x", "").replace("/", "") + found["last"])
        tile = cls(level, number, int(found["width"] or TILE_WIDTH))
        # `x000/001`, level 64 and `.p/256` fit the pattern, and are nobody's path.
        return tile if tile.format() == path and (level or 0) < 64 and tile.width <= 256 else None

    def format(self) -> str:
        """The path below the log: 1234067 is spelt `x001/x234/067`."""
        level = "entries" if self.level is None else str(self.level)
        digits = str(self.number)
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        *groups, last = (digits[n : n + 3] for n in range(0, len(digits), 3))
        number = "".join(f"x{group}/" for group in groups) + last
        partial = f".p/{self.width}" if self.width < TILE_WIDTH else ""
        return f"tile/{level}/{number}{partial}"


def width_at(level: int, number: int, size: int) -> int:
    """How many hashes a tile holds in the tree of `size` leaves: 0 to 256."""
    return max(0, min(TILE_WIDTH, (size >> (TILE_HEIGHT * level)) - number * TILE_WIDTH))


def format_bundle(leaves: Sequence[bytes]) -> bytes:
    """An entry bundle: each leaf with its length before it, in two bytes.

    Raises OverflowError for a leaf of more than 65,535 bytes.
    """
    return b"".join(len(leaf).to_bytes(2, "big") + leaf for leaf in leaves)


def parse_bundle(data: bytes, *, width: int) -> list[bytes]:
    """The leaves of a bundle of exactly `width`. Raises VerificationFailed(step="log")."""
    leaves: list[bytes] = []
    at = 0
    while at < len(data) and len(leaves) < width:
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if end > len(data) or at + 2 > len(data):
            break
        leaves.append(data[at + 2 : end])
        at = end
    if at != len(data) or len(leaves) != width:
        raise _bad(f"an entry bundle does not hold exactly {width} entries")
    return leaves


def open_log(read: Read, trust: TrustedRoot) -> TiledLog:
    """The log at its newest checkpoint, once the trusted root vouches for that.

    Raises VerificationFailed (step "note", "checkpoint", "trust" or "log"), OSError.
    """
    note = read(CHECKPOINT_PATH, NOTE_BYTES_MAX)
    if note is None:
        raise LogFileMissing("there is no checkpoint: this is no log", step="log")
    return TiledLog(read, trust.open_checkpoint(note), note)


class TiledLog:
    """One tree of a log, read from its files; all that it returns is proven by its root.

    Memory is bounded: some hundred tiles and one bundle of entries. Every method raises
    VerificationFailed(step="log") for files that contradict the checkpoint, LogFileMissing,
    and OSError. Used by one thread.
    """

    def __init__(self, read: Read, opened: OpenedCheckpoint, note: bytes) -> None:
        """`opened` is believed; `note` is what it was opened from.

        Reads the tiles at the right edge, at most eight, which together make the root.
        """
        self.opened = opened
        self.note = note
        self._read = read
        self._kept: dict[tuple[int, int], bytes] = {}
        self._bundle: tuple[int, list[bytes]] = (-1, [])
        self._edge = self._proven_edge()
        self._tree = Tree(self.tile)

    @property
    def checkpoint(self) -> Checkpoint:
        """Which tree it is."""
        return self.opened.checkpoint

    @property
    def size(self) -> int:
        """The number of leaves."""
        return self.checkpoint.size

    def tile(self, level: int, number: int) -> bytes:
        """The hashes of a tile in this tree, 32 bytes each; empty beyond its edge."""
        width = width_at(level, number, self.size)
        if width < TILE_WIDTH:
            return self._edge[level] if width else b""
        if (level, number) in self._kept:
            return self._kept[level, number]
        hashes = self._hashes(level, number, TILE_WIDTH)
        # A full tile is one hash of the tile above: that one is proven first.
        above, offset = divmod(number, TILE_WIDTH)
        expected = self.tile(level + 1, above)[offset * HASH_BYTES : (offset + 1) * HASH_BYTES]
        if tile_root(hashes) != expected:
            raise _bad(f"tile {level}/{number} is not the one that the signed root stands on")
        if len(self._kept) >= _KEPT_TILES_MAX:
            # The oldest; those that lead to the root are fetched again when they are needed.
            del self._kept[next(iter(self._kept))]
        self._kept[level, number] = hashes
        return hashes

    def leaf_hash(self, position: int) -> bytes:
        """The hash of one leaf. Raises ValueError for a position outside the tree."""
        number, offset = self._place(position)
        return self.tile(0, number)[offset * HASH_BYTES : (offset + 1) * HASH_BYTES]

    def root(self, size: int) -> bytes:
        """The root that the first `size` leaves have. Raises ValueError beyond the tree.

        Whoever holds an older checkpoint compares its root with this one: the same root, the
        same leaves.
        """
        if not 0 <= size <= self.size:
            raise ValueError(f"no tree of {size} leaves within one of {self.size}")
        return self._tree.root(size)

    def inclusion(self, position: int) -> list[bytes]:
        """The audit path of a leaf in this tree (RFC 6962, section 2.1.1)."""
        return self._tree.inclusion(position, self.size)

    def consistency(self, old_size: int) -> list[bytes]:
        """That a smaller tree begins this one (RFC 6962, section 2.1.2)."""
        return self._tree.consistency(old_size, self.size)

    def entry(self, position: int) -> bytes:
        """One leaf. Raises ValueError for a position outside the tree."""
        number, offset = self._place(position)
        return self.bundle(number)[offset]

    def entries(self, start: int = 0, end: int | None = None) -> Iterator[tuple[int, bytes]]:
        """The leaves from `start` up to `end`, the whole tree's if left out, by position."""
        for position in range(start, self.size if end is None else end):
            yield position, self.entry(position)

    def bundle(self, number: int) -> list[bytes]:
        """The leaves below a tile of level 0."""
        if self._bundle[0] != number:
            hashes = self.tile(0, number)
            leaves = self._leaves(number, len(hashes) // HASH_BYTES)
            _require_leaves(number, leaves, hashes)
            self._bundle = (number, leaves)
        return self._bundle[1]

    def _place(self, position: int) -> tuple[int, int]:
        if not 0 <= position < self.size:
            raise ValueError(f"no leaf {position} in a tree of {self.size}")
        return divmod(position, TILE_WIDTH)

    def _proven_edge(self) -> dict[int, bytes]:
        """The partial tile of each level, once together they make the root."""
        edge: dict[int, bytes] = {}
        level, count = 0, self.size
        while count:
            number, width = divmod(count, TILE_WIDTH)
            edge[level] = self._hashes(level, number, width) if width else b""
            level, count = level + 1, number
        if _root_of_edge(edge.values()) != self.checkpoint.root:
            raise _bad("the tiles at its edge do not make the signed root")
        return edge

    def _hashes(self, level: int, number: int, width: int) -> bytes:
        data, found = self._file(TilePath(level, number, width), HASH_BYTES)
        if len(data) != found * HASH_BYTES:
            raise _bad(f"tile {level}/{number} does not hold {found} hashes")
        return data[: width * HASH_BYTES]

    def _leaves(self, number: int, width: int) -> list[bytes]:
        data, found = self._file(TilePath(None, number, width), 2 + LEAF_BYTES_MAX)
        return parse_bundle(data, width=found)[:width]

    def _file(self, path: TilePath, bytes_each: int) -> tuple[bytes, int]:
        """A file and the width it was found in: a partial one may have been filled since."""
        for width in sorted({path.width, TILE_WIDTH}):
            spelt = TilePath(path.level, path.number, width).format()
            if (data := self._read(spelt, width * bytes_each)) is not None:
                return data, width
        raise LogFileMissing(f"the file {path.format()} is missing", step="log")


@dataclass(frozen=True, slots=True)
class Defect:
    """Something in the files that does not agree; `position` is a leaf's, where there is one."""

    what: str
    position: int | None = None


def check_log(
    log: TiledLog, *, progress: Callable[[int, int], None] = lambda done, total: None
) -> Iterator[Defect]:
    """Read every tile and every entry of a log, and name what does not agree with the root.

    `progress(done, total)` counts leaves. Memory stays bounded. Raises OSError.
    """
    last = None
    for start in range(0, log.size, TILE_WIDTH):
        try:
            log.bundle(start // TILE_WIDTH)
        except VerificationFailed as failure:
            # A tile that is wrong takes everything below it along: that is said once.
            if str(failure) != last:
                last = str(failure)
                yield Defect(last, getattr(failure, "position", None))
        progress(min(start + TILE_WIDTH, log.size), log.size)


class LeafDiffers(VerificationFailed):
    """An entry is not the leaf that was signed at its position."""

    def __init__(self, position: int) -> None:
        super().__init__(
            f"entry {position} was changed: its bytes do not hash to the leaf that was signed",
            step="log",
        )
        self.position = position


def _require_leaves(number: int, leaves: Sequence[bytes], hashes: bytes) -> None:
    for offset, leaf in enumerate(leaves):
        if leaf_hash(leaf) != hashes[offset * HASH_BYTES : (offset + 1) * HASH_BYTES]:
            raise LeafDiffers(number * TILE_WIDTH + offset)


def _root_of_edge(tiles: Iterable[bytes]) -> bytes:
    """RFC 6962, section 2.1: complete subtrees, the smaller ones hashed together first."""
    root = b""
    for hashes in tiles:
        row = [hashes[n : n + HASH_BYTES] for n in range(0, len(hashes), HASH_BYTES)]
        while row:
            width = len(row) & -len(row)
            subtree = tile_root(b"".join(row[-width:]))
            root = node_hash(subtree, root) if root else subtree
            del row[-width:]
    return root or EMPTY_ROOT


def _bad(why: str) -> VerificationFailed:
    return VerificationFailed(why, step="log")
