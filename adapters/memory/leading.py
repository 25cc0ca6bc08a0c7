"""A lease in memory, which another hub takes when a test says so."""

from __future__ import annotations

from hub.application.ports import NotLeading


class MemoryLease:
    """The port Lease: `seconds` are left of it until another hub has `taken` it."""

    def __init__(self, seconds: float = 5.0) -> None:
        self.seconds = seconds
        self.taken = False
        self.asked = 0

    def left(self) -> float:
        """See Lease."""
        self.asked += 1
        if self.taken:
            raise NotLeading("another hub leads")
        return self.seconds
