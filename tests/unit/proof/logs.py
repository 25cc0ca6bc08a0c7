"""A log that can be read, held in a list; it proves nothing, as the real one must."""

from __future__ import annotations

from collections.abc import Iterator

from hub.proof.checkpoint import Checkpoint
from tests.unit.proof.building import SmallLog


class MemoryLog:
    def __init__(self, log: SmallLog) -> None:
        self._log = log
        self.read: list[int] = []

    @property
    def checkpoint(self) -> Checkpoint:
        return self._log.checkpoint()

    def root(self, size: int) -> bytes:
        return self._log.checkpoint(size).root

    def entries(self, start: int, end: int) -> Iterator[tuple[int, bytes]]:
        for position in range(start, end):
            self.read.append(position)
            yield position, self._log.entries[position]
