"""The writing lane as the use cases see it: hand in a command, get a receipt or a refusal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from hub.application.ports import RequestKey
from hub.application.session import Session
from hub.proof.receipt import Receipt
from hub.proof.tiles import TilePath


@dataclass(frozen=True, slots=True)
class Recorded:
    """A recorded fact with its receipt, the same for ever."""

    position: int
    receipt: Receipt


class NothingRecorded(Exception):
    """The command found nothing to record; for the hub's own commands, never a caller's."""


class Command(Protocol):
    """Something to be decided in the lane, on the newest state, in turn with all others."""

    @property
    def request(self) -> RequestKey | None:
        """The idempotency key, or None for what is recorded each time it happens."""
        ...

    def decide(self, session: Session) -> None:
        """Record exactly what follows, or raise a HubError and record nothing."""
        ...


class Lane(Protocol):
    """The one place where history grows."""

    async def do(self, command: Command) -> Recorded:
        """The receipt of what the command recorded, now or when it first came.

        Raises the command's refusal; RequestIdReused; Overloaded (not taken in);
        Unavailable (perhaps recorded) and ReceiptDelayed (recorded): ask again.
        """
        ...


class Receipts(Protocol):
    """Receipts of what is already covered by a checkpoint."""

    @property
    def size(self) -> int:
        """How many events the newest published checkpoint covers."""
        ...

    def checkpoint(self) -> bytes:
        """The newest published checkpoint."""
        ...

    def receipt(self, position: int) -> Recorded:
        """The one receipt of a position. Raises PositionUnknown, ReceiptDelayed."""
        ...

    def cosigned(self, position: int, *, beyond: int = 0) -> Recorded:
        """Its receipt with the cosignatures there are by now; raises the same.

        The checkpoint in it also covers the position `beyond`.
        """
        ...

    def inclusion(self, position: int, size: int) -> list[bytes]:
        """That the leaf at a position stands in the tree of a size. Raises PositionUnknown."""
        ...

    def checkpoints(self, after: int, limit: int) -> list[tuple[int, bytes]]:
        """At most `limit` checkpoints of a larger size than `after`, by rising size."""
        ...

    def file(self, path: TilePath) -> bytes | None:
        """A tile or an entry bundle (C2SP tlog-tiles); None beyond the newest checkpoint."""
        ...

    def newest(self) -> tuple[int, bytes]:
        """The newest published checkpoint with its size, 0 before the first."""
        ...

    def proof(self, position: int, size: int, checkpoint: bytes) -> bytes:
        """That a position stands under a stored checkpoint of this size (C2SP `tlog-proof`)."""
        ...

    def consistency(self, old_size: int, new_size: int) -> list[bytes]:
        """That the tree of one size is the beginning of another. Raises PositionUnknown."""
        ...

    def published(self) -> tuple[int, bytes]:
        """How many events are visible, and the checkpoint that covers just these."""
        ...

    def frontier(self, size: int) -> list[bytes]:
        """The roots of the complete subtrees over the first `size` events, left to right.

        Raises PositionUnknown.
        """
        ...

    def audit_path(self, position: int, size: int) -> list[bytes]:
        """That an event stands in the tree of `size` events. Raises PositionUnknown."""
        ...
