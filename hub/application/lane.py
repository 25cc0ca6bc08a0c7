"""The writing lane as the use cases see it: hand in a command, get a receipt or a refusal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from hub.application.ports import RequestKey
from hub.application.session import Session
from hub.errors import PrincipalUnknown
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


@dataclass(frozen=True, slots=True)
class OnBehalf:
    """A command with the certificate its caller came with, which must still be good then."""

    command: Command
    certificate: str

    @property
    def request(self) -> RequestKey | None:
        """The command's own."""
        return self.command.request

    @property
    def while_frozen(self) -> bool:
        """The command's own: whether it may be done while the log is frozen."""
        return getattr(self.command, "while_frozen", False)

    def decide(self, session: Session) -> None:
        """Decide the command, unless the caller's certificate was revoked while it waited."""
        if session.registry.caller(self.certificate) is None:
            raise PrincipalUnknown("this client certificate was revoked; nothing was recorded")
        self.command.decide(session)


class CallersLane:
    """The lane as callers reach it: who was put out while a command waited, has it refused.

    `certificate` is SHA-256 (hexadecimal) of the certificate of whoever is being served.
    """

    def __init__(self, lane: Lane, certificate: Callable[[], str]) -> None:
        self._lane = lane
        self._certificate = certificate

    async def do(self, command: Command) -> Recorded:
        """As the lane's own; also raises PrincipalUnknown."""
        return await self._lane.do(OnBehalf(command, self._certificate()))
