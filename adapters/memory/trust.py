"""Who holds which edition of the trusted root, in memory; and the editions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from adapters.memory.faults import FaultSwitch, breakable
from hub.application.ports import TrustFetch


class MemoryTrustFetches:
    """The port TrustFetches."""

    def __init__(self) -> None:
        self._fetches: dict[tuple[str, str], TrustFetch] = {}
        self.faults = FaultSwitch(self)

    @breakable
    def note(self, role: str, caller: str, edition: int, at: datetime) -> None:
        """Remember it, unless a later edition is known."""
        known = self._fetches.get((role, caller))
        if known is None or known.edition < edition:
            self._fetches[role, caller] = TrustFetch(role, caller, edition, at)

    def all(self) -> Sequence[TrustFetch]:
        """Everybody, by role and name."""
        return [self._fetches[key] for key in sorted(self._fetches)]


class MemoryRootFiles:
    """The port RootFiles, beginning with one edition."""

    def __init__(self, first: bytes) -> None:
        self._newest = (0, first)
        self._editions: dict[int, bytes] = {}
        self.faults = FaultSwitch(self)

    def newest(self) -> bytes:
        """The newest edition."""
        return self._newest[1]

    def edition(self, number: int) -> bytes | None:
        """A signed edition."""
        return self._editions.get(number)

    @breakable
    def keep(self, number: int, data: bytes) -> None:
        """Keep a signed edition. Another one of the same number is refused."""
        if self._editions.setdefault(number, data) != data:
            raise OSError(f"another edition {number} is there")
        self._newest = max(self._newest, (number, data))
