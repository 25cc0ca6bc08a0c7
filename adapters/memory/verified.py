"""The mark of what was verified, in memory."""

from __future__ import annotations

from hub.application.ports import Verified


class MemoryVerifiedMark:
    """The port VerifiedMark."""

    def __init__(self) -> None:
        self._verified: Verified | None = None

    def read(self) -> Verified | None:
        """The mark."""
        return self._verified

    def write(self, verified: Verified | None) -> None:
        """Replace the mark, or remove it."""
        self._verified = verified
