"""Whether the log in memory takes an event."""

from __future__ import annotations


class MemoryAppendProbe:
    """The port AppendProbe: it always does, until `broken` says why not."""

    def __init__(self) -> None:
        self.broken: OSError | None = None
        self.tried = 0

    def append_and_read(self) -> None:
        """Nothing, or what is broken."""
        self.tried += 1
        if self.broken is not None:
            raise self.broken
