"""What callers may ask about timestamps: those of a position, and how the job stands."""

from __future__ import annotations

from hub.application.offload import Offloader
from hub.application.registry import Caller, Role
from hub.application.timestamp_book import PositionTimestamp, TimestampBook
from hub.application.timestamping import Timestamping, TimestampStatus
from hub.errors import RoleNotPermitted


class Timestamps:
    """Read-only; everything in it is published."""

    def __init__(self, book: TimestampBook, job: Timestamping, offload: Offloader) -> None:
        self._book = book
        self._job = job
        self._offload = offload

    async def covering(self, position: int) -> list[PositionTimestamp]:
        """Of each authority the first timestamp that covers a position. Raises PositionUnknown."""
        return await self._offload(lambda: self._book.covering(position))

    async def status(self, caller: Caller) -> TimestampStatus:
        """How it stands with each authority; RoleNotPermitted for agencies."""
        if caller.role is Role.AGENCY:
            raise RoleNotPermitted("an agency may not ask how the hub's timestamps stand")
        return await self._job.status()
