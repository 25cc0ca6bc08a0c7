"""A folder into which the log is exported."""

from __future__ import annotations

from typing import Protocol

from hub.proof.tiles import TilePath


class LogFolder(Protocol):
    """A folder with the files of one log. Untrusted: what it holds is compared.

    Once `commit` returns, all that was put before survives a power cut.
    """

    def checkpoint(self) -> bytes | None:
        """The checkpoint that makes it a whole log; None before the first."""
        ...

    def file(self, path: TilePath, bytes_max: int) -> bytes | None:
        """A file, with one byte more than `bytes_max` if it is larger; None if there is none."""
        ...

    def put(self, path: TilePath, data: bytes) -> None:
        """Store a file that is not there yet; whole or not at all."""
        ...

    def commit(self, checkpoint: bytes) -> None:
        """Make everything durable, then the checkpoint over it, in this order."""
        ...

    def drop_partial(self, path: TilePath) -> None:
        """Remove the partial files of a tile whose full one is there now."""
        ...
