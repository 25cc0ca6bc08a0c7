"""Who may hold which receipt."""

from __future__ import annotations

from hub.application.exchanges import Offloader
from hub.application.lane import Receipts, Recorded
from hub.application.parties import parties_of
from hub.application.registry import Caller, Role
from hub.domain.catalogue import REGISTRY_TOPICS
from hub.errors import PositionUnknown
from hub.proof.leaf import Event, parse_leaf


class OwnReceipts:
    """Checkpoints and proofs for everyone; leaves for those they concern."""

    def __init__(self, receipts: Receipts, offload: Offloader) -> None:
        self._receipts = receipts
        self._offload = offload

    def checkpoint(self) -> bytes:
        """The newest published checkpoint."""
        return self._receipts.checkpoint()

    async def consistency(self, old_size: int, new_size: int) -> list[bytes]:
        """That one tree is the beginning of another. Raises PositionUnknown."""
        return await self._offload(lambda: self._receipts.consistency(old_size, new_size))

    async def receipt(self, caller: Caller, position: int) -> Recorded:
        """The receipt of an event that concerns the caller; PositionUnknown otherwise."""
        return await self._offload(lambda: self._receipt(caller, position))

    def _receipt(self, caller: Caller, position: int) -> Recorded:
        recorded = self._receipts.receipt(position)
        if not _concerns(caller, parse_leaf(recorded.receipt.leaf)):
            # The same words as for a position that does not exist.
            raise PositionUnknown("no such position in the log", position=str(position))
        return recorded


def _concerns(caller: Caller, event: Event) -> bool:
    if caller.role is not Role.AGENCY:
        return event.topic in REGISTRY_TOPICS
    own_registration = (event.data.get("agency"), event.data.get("code"))
    return caller.name in parties_of(event) or (
        event.topic in REGISTRY_TOPICS and caller.name in own_registration
    )
