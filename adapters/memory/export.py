"""An export of a log in memory."""

from __future__ import annotations

from adapters.memory.faults import FaultSwitch, breakable
from hub.proof.tiles import TilePath


class MemoryLogFolder:
    """The port LogFolder. Refuses to write a file twice."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.note: bytes | None = None
        self.faults = FaultSwitch(self)

    @breakable
    def checkpoint(self) -> bytes | None:
        """The checkpoint that makes it a whole log; None before the first."""
        return self.note

    @breakable
    def file(self, path: TilePath, bytes_max: int) -> bytes | None:
        """A file, with one byte more than `bytes_max` if it is larger; None if there is none."""
        data = self.files.get(path.format())
        return None if data is None else data[: bytes_max + 1]

    @breakable
    def put(self, path: TilePath, data: bytes) -> None:
        """Store a file that is not there yet; whole or not at all."""
        if path.format() in self.files:
            raise ValueError(f"{path.format()} is there already")
        self.files[path.format()] = bytes(data)

    @breakable
    def commit(self, checkpoint: bytes) -> None:
        """Make everything durable, then the checkpoint over it, in this order."""
        self.note = bytes(checkpoint)

    @breakable
    def drop_partial(self, path: TilePath) -> None:
        """Remove the partial files of a tile whose full one is there now."""
        for name in [name for name in self.files if name.startswith(f"{path.format()}.p/")]:
            del self.files[name]
