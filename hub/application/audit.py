"""Who may hold which receipt."""

from __future__ import annotations

from collections.abc import Callable

from hub.application.lane import Receipts, Recorded
from hub.application.mapper import read_event
from hub.application.offload import Offloader
from hub.application.parties import parties_of
from hub.application.registry import Caller, Registry, Role
from hub.domain.catalogue import REGISTRY_TOPICS
from hub.errors import PositionUnknown
from hub.proof.leaf import Event
from hub.proof.tiles import TilePath, width_at

_ABOUT_KEYS = ("hub.Log.LogOpened", "hub.Log.LogReopened", "hub.HubKey.")


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

    async def inclusion(self, position: int, size: int) -> list[bytes]:
        """That the leaf at a position stands in the tree of a size. Raises PositionUnknown."""
        return await self._offload(lambda: self._receipts.inclusion(position, size))

    async def checkpoints(self, after: int, limit: int) -> list[tuple[int, bytes]]:
        """At most `limit` checkpoints of a larger size than `after`, by rising size."""
        return await self._offload(lambda: self._receipts.checkpoints(after, limit))

    async def tile(self, level: int, number: int) -> bytes:
        """The hashes that the newest checkpoint covers of a tile. Raises PositionUnknown."""
        return await self._offload(lambda: self._tile(level, number))

    async def receipt(self, caller: Caller, position: int, *, cosigned: bool = False) -> Recorded:
        """The receipt of an event that concerns the caller; PositionUnknown otherwise.

        If `cosigned`, under a checkpoint with the witnesses' cosignatures, as far as there are.
        """
        return await self._offload(lambda: self._receipt(caller, position, cosigned))

    def _tile(self, level: int, number: int) -> bytes:
        width = width_at(level, number, self._receipts.size)
        hashes = self._receipts.file(TilePath(level, number, width)) if width else None
        if hashes is None:
            size = str(self._receipts.size)
            raise PositionUnknown("no such tile in the tree of the newest checkpoint", size=size)
        return hashes

    def _receipt(self, caller: Caller, position: int, cosigned: bool) -> Recorded:
        recorded = self._receipts.receipt(position)
        represented = self._registry().represented(caller.name)
        if not _concerns(caller, represented, read_event(recorded.receipt.leaf)):
            # The same words as for a position that does not exist.
            raise PositionUnknown("no such position in the log", position=str(position))
        return self._receipts.cosigned(position) if cosigned else recorded


def is_about_keys(topic: str) -> bool:
    """Whether an event is about the log itself or its keys: these are for everyone."""
    return topic.startswith(_ABOUT_KEYS)


TOPICS_ABOUT_KEYS = frozenset(filter(is_about_keys, REGISTRY_TOPICS))


def _concerns(caller: Caller, represented: frozenset[str], event: Event) -> bool:
    if caller.role is Role.AUDITOR or is_about_keys(event.topic):
        return True
    if caller.role is Role.OPERATOR:
        return event.topic in REGISTRY_TOPICS
    if event.topic in REGISTRY_TOPICS:
        # Its own registration, what became of it, and whom it took over.
        named = {event.data.get(name) for name in ("agency", "code", "successor")}
        return not named.isdisjoint(represented)
    return not parties_of(event).isdisjoint(represented)
