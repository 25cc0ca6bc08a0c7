"""Who may hold which receipt."""

from __future__ import annotations

from collections.abc import Callable

from hub.application.lane import Receipts, Recorded
from hub.application.offload import Offloader
from hub.application.parties import parties_of
from hub.application.registry import Caller, Registry, Role
from hub.domain.catalogue import REGISTRY_TOPICS
from hub.errors import PositionUnknown
from hub.proof.leaf import Event, parse_leaf


class OwnReceipts:
    """Checkpoints and proofs for everyone; leaves for those they concern, and successors."""

    def __init__(
        self,
        receipts: Receipts,
        offload: Offloader,
        registry: Callable[[], Registry] = Registry,
    ) -> None:
        """`registry` says who succeeded whom; by the empty one it begins as, nobody did."""
        self._receipts = receipts
        self._offload = offload
        self._registry = registry

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
        represented = self._registry().represented(caller.name)
        if not _concerns(caller, represented, parse_leaf(recorded.receipt.leaf)):
            # The same words as for a position that does not exist.
            raise PositionUnknown("no such position in the log", position=str(position))
        return recorded


def _concerns(caller: Caller, represented: frozenset[str], event: Event) -> bool:
    if caller.role is not Role.AGENCY:
        return event.topic in REGISTRY_TOPICS
    if event.topic in REGISTRY_TOPICS:
        # Its own registration, what became of it, and whom it took over.
        named = {event.data.get(name) for name in ("agency", "code", "successor")}
        return not named.isdisjoint(represented)
    return not parties_of(event).isdisjoint(represented)
