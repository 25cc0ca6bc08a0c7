"""One package on its way to the national axis, or one from there that a person must look at."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import IntEnum, StrEnum
from hashlib import sha256
from typing import Self
from uuid import UUID

from eventsourcing.domain import event

from hub.domain.aggregate import Aggregate, derived_id
from hub.domain.values import format_time
from hub.errors import RelayNotOpen

# Codes of the axis that another attempt cannot mend: bad file, wrong credentials, receiver or
# sender unknown, file error, not to standard, receiver locked.
PARKED_CODES = frozenset({"10", "15", "18", "19", "21", "22", "23"})
TRANSIENT_CODE = "20"
# Those that are about one receiver: where a package has several, the others may still get it.
RECEIVER_CODES = frozenset({"18", "23"})

_DOUBLINGS_MAX = 16


# The proof of receipt, which the hub gives for its agencies as soon as a document is in their
# inbox (NĐ 30/2020/NĐ-CP Art. 21(2): the same day).
ARRIVED_CODE = "01"


class RelayKind(StrEnum):
    """What a package carries."""

    DOCUMENT = "document"
    RECALL = "recall"
    STATUS = "status"


class Direction(StrEnum):
    """Which way a package goes."""

    OUT = "out"
    IN = "in"


class RelayState(IntEnum):
    """How far a package has come."""

    WAITING = 1
    """A fact is to be told to the axis; no package of it is made yet."""
    QUEUED = 2
    """The package is made and stored, and may be sent."""
    FAILED = 3
    """An attempt failed; another one follows by itself."""
    SENT = 4
    """The axis has taken it, and said under which id."""
    PARKED = 5
    """Nothing happens until an operator looks at it."""
    TAKEN = 6
    """It came from the axis, and is recorded here."""
    SPLIT = 7
    """Each of its receivers gets a package of its own instead, on a relay of its own."""
    ERASED = 8
    """It came, was never taken in, and was erased by law."""


_OVER = (RelayState.SENT, RelayState.PARKED, RelayState.SPLIT, RelayState.ERASED)


def relay_id(exchange_id: UUID, kind: RelayKind, agency: str = "", code: str = "") -> UUID:
    """The one relay of a document, of its recall, or of a recipient's status with this code.

    Of a document or recall that was split, each receiver's has the receiver as `agency`.

    A status is told once, however often it was reported: whoever gets it knows it by then.
    """
    return derived_id(exchange_id, f"relay:{kind}:{agency}:{code}".encode())


def arrival_id(exchange_id: UUID) -> UUID:
    """The relay of a package from the axis, by the exchange it becomes, or might have become."""
    return derived_id(exchange_id, b"relay:arrival")


def document_key(organisation: str, document_id: str, business_type: str) -> bytes:
    """How a sender calls a package: the same key must mean the same package."""
    return sha256("\n".join((organisation, document_id, business_type)).encode()).digest()


def delay_before(attempt: int, relay: UUID, *, first: timedelta, longest: timedelta) -> timedelta:
    """How long to wait after so many failed attempts: doubled each time, give or take a half.

    The chance in it comes from the relay and the attempt, so that it is the same again.
    """
    doubled: timedelta = first * 2 ** min(attempt - 1, _DOUBLINGS_MAX)
    chance = sha256(relay.bytes + b"%d" % attempt).digest()[0] / 256
    return min(doubled, longest) * (0.5 + chance)


class Relay(Aggregate):
    """A package; begins with whatever happens to it first.

    No Created event: an outgoing relay exists, with nothing said, from the moment a fact that
    concerns the axis is recorded. Its own events name codes and digests, never words.
    """

    INITIAL_VERSION = 1

    class RelayQueued(Aggregate.Event):
        """The package is made and stored: from here on every attempt sends these bytes.

        `package` is its SHA-256, empty for a status, whose words could be guessed by it;
        `request_bytes` is the size of the request beside it. `addressed` are the codes it is sent
        to; `agencies`, of a document, the primary codes of those whom its sender's limit does not
        reach any more. `agency` is who says a status, or the one receiver of a split package.
        """

        TOPIC = "hub.Relay.RelayQueued"
        exchange: str
        sender: str
        agency: str
        kind: str
        code: str
        addressed: list[str]
        agencies: list[str]
        package: str
        package_bytes: int
        request_bytes: int

    class RelaySplit(Aggregate.Event):
        """The axis refused the package for one of its receivers, and does not say for which.

        So each of `agencies` (primary codes) gets it by itself. `code` is the axis's own, empty
        for the recall of a document that was split.
        """

        TOPIC = "hub.Relay.RelaySplit"
        exchange: str
        sender: str
        kind: str
        code: str
        agencies: list[str]

    class RelaySent(Aggregate.Event):
        """The axis took the document, or its recall, under `axis_id`."""

        TOPIC = "hub.Relay.RelaySent"
        exchange: str
        sender: str
        kind: str
        axis_id: str
        attempt: int

    class AxisStatusSent(Aggregate.Event):
        """The axis took a status of one of our recipients under `axis_id`."""

        TOPIC = "hub.Relay.AxisStatusSent"
        exchange: str
        sender: str
        agency: str
        code: str
        axis_id: str
        attempt: int

    class RelayFailed(Aggregate.Event):
        """An attempt failed and will be repeated, the same request to the byte, at `again_at`.

        `reason` is ours, `code` the axis's own if it gave one. The axis may have taken it.
        """

        TOPIC = "hub.Relay.RelayFailed"
        exchange: str
        sender: str
        reason: str
        code: str
        attempt: int
        again_at: str

    class RelayParked(Aggregate.Event):
        """The package waits for an operator: by its `reason`, or because `by` asked for it.

        One from the axis is stored as it came: `package` is its SHA-256, `axis_id` its id there.
        Where no attempt gave a package, `reply` is the SHA-256 of the axis's last reply, which is
        stored instead, `reply_bytes` its size, and `package_bytes` is -1.
        """

        TOPIC = "hub.Relay.RelayParked"
        exchange: str
        sender: str
        direction: str
        kind: str
        reason: str
        code: str
        axis_id: str
        package: str
        package_bytes: int
        reply: str
        reply_bytes: int
        by: str
        request_id: str

    class RelayResumed(Aggregate.Event):
        """An operator lets it go on; a package from the axis is read, or fetched, once more."""

        TOPIC = "hub.Relay.RelayResumed"
        exchange: str
        sender: str
        by: str
        request_id: str

    class ArrivalErased(Aggregate.Event):
        """What is stored of a parked package from the axis is erased by law, by two operators.

        `digest` is that of what was stored: the package, or the reply that held none. `order` and
        `approval` are digests of what the two signed, `reason` a code word, `basis` the norm.
        """

        TOPIC = "hub.Relay.ArrivalErased"
        exchange: str
        sender: str
        digest: str
        order: str
        ordered_by: str
        approval: str
        approved_by: str
        reason: str
        basis: str

    @classmethod
    def begin(cls, relay: UUID, at: datetime) -> Self:
        """A relay of which nothing is recorded."""
        self = cls.__new__(cls)
        self.__base_init__(relay, 0, at)
        self.exchange = ""
        self.sender = ""
        self.agency = ""
        self.kind = RelayKind.DOCUMENT
        self.direction = Direction.OUT
        self.code = ""
        self.state = RelayState.WAITING
        self.attempts = 0
        self.axis_id = ""
        self.package_bytes = -1
        self.stored = ""
        return self

    exchange: str
    sender: str
    agency: str
    kind: RelayKind
    direction: Direction
    code: str
    state: RelayState
    attempts: int
    axis_id: str
    package_bytes: int
    stored: str
    """Of one that came: SHA-256 of what is kept of it, in hexadecimal."""

    @property
    def may_be_sent(self) -> bool:
        """Whether its package is made and nobody holds it up."""
        return self.state in (RelayState.QUEUED, RelayState.FAILED)

    def queue(self, *, at: datetime, **facts: object) -> None:
        """Record that the package is made."""
        self.trigger_event(self.RelayQueued, timestamp=at, **facts)

    def split(
        self, *, at: datetime, exchange: UUID, kind: RelayKind, code: str, agencies: list[str]
    ) -> None:
        """Let each receiver have a package of its own."""
        self.trigger_event(
            self.RelaySplit,
            timestamp=at,
            exchange=str(exchange),
            sender=self.sender,
            kind=kind.value,
            code=code,
            agencies=agencies,
        )

    def sent(self, *, at: datetime, axis_id: str) -> None:
        """Record that the axis took it."""
        if self.kind is RelayKind.STATUS:
            self.trigger_event(
                self.AxisStatusSent,
                timestamp=at,
                exchange=self.exchange,
                sender=self.sender,
                agency=self.agency,
                code=self.code,
                axis_id=axis_id,
                attempt=self.attempts + 1,
            )
            return
        self.trigger_event(
            self.RelaySent,
            timestamp=at,
            exchange=self.exchange,
            sender=self.sender,
            kind=self.kind.value,
            axis_id=axis_id,
            attempt=self.attempts + 1,
        )

    def fail(self, *, at: datetime, reason: str, code: str, again_at: datetime) -> None:
        """Record that an attempt failed, and when the next one is due."""
        self.trigger_event(
            self.RelayFailed,
            timestamp=at,
            exchange=self.exchange,
            sender=self.sender,
            reason=reason,
            code=code,
            attempt=self.attempts + 1,
            again_at=format_time(again_at),
        )

    def park(
        self,
        *,
        at: datetime,
        exchange: UUID,
        sender: str,
        direction: Direction,
        kind: RelayKind,
        reason: str,
        code: str = "",
        axis_id: str = "",
        package: str = "",
        package_bytes: int = -1,
        reply: str = "",
        reply_bytes: int = -1,
        by: str = "",
        request_id: str = "",
    ) -> None:
        """Let it wait for an operator. Raises RelayNotOpen for what is over already."""
        self._require_open()
        self.trigger_event(
            self.RelayParked,
            timestamp=at,
            exchange=str(exchange),
            sender=sender,
            direction=direction.value,
            kind=kind.value,
            reason=reason,
            code=code,
            axis_id=axis_id,
            package=package,
            package_bytes=package_bytes,
            reply=reply,
            reply_bytes=reply_bytes,
            by=by,
            request_id=request_id,
        )

    def resume(self, *, at: datetime, by: str, request_id: str) -> None:
        """Let it go on. Raises RelayNotOpen unless it is parked or waits for its next attempt."""
        if self.state not in (RelayState.PARKED, RelayState.FAILED):
            raise RelayNotOpen("only what is parked, or waits for another attempt, can go on")
        self.trigger_event(
            self.RelayResumed,
            timestamp=at,
            exchange=self.exchange,
            sender=self.sender,
            by=by,
            request_id=request_id,
        )

    def require_erasable(self) -> None:
        """Refuse to erase what is not parked on arrival. Raises RelayNotOpen."""
        if self.state is not RelayState.PARKED or self.direction is not Direction.IN:
            raise RelayNotOpen("only a package from the axis that is parked can be erased so")

    def erase(self, *, at: datetime, **facts: object) -> None:
        """Give up what is stored of it, for good. Raises RelayNotOpen."""
        self.require_erasable()
        self.trigger_event(
            self.ArrivalErased,
            timestamp=at,
            exchange=self.exchange,
            sender=self.sender,
            digest=self.stored,
            **facts,
        )

    def _require_open(self) -> None:
        if self.state in _OVER:
            raise RelayNotOpen(f"this package is {self.state.name.lower()} already")

    @event(RelayQueued)
    def _apply_queued(
        self,
        *,
        exchange: str,
        sender: str,
        agency: str,
        kind: str,
        code: str,
        package_bytes: int,
    ) -> None:
        self.exchange = exchange
        self.sender = sender
        self.agency = agency
        self.kind = RelayKind(kind)
        self.code = code
        self.package_bytes = package_bytes
        self.state = RelayState.QUEUED

    @event(RelaySplit)
    def _apply_split(self, exchange: str, kind: str) -> None:
        self.exchange = exchange
        self.kind = RelayKind(kind)
        self.state = RelayState.SPLIT

    @event(RelaySent)
    def _apply_sent(self, axis_id: str) -> None:
        self.axis_id = axis_id
        self.state = RelayState.SENT

    @event(AxisStatusSent)
    def _apply_status_sent(self, axis_id: str) -> None:
        self.axis_id = axis_id
        self.state = RelayState.SENT

    @event(RelayFailed)
    def _apply_failed(self, attempt: int) -> None:
        self.attempts = attempt
        self.state = RelayState.FAILED

    @event(ArrivalErased)
    def _apply_erased(self) -> None:
        self.state = RelayState.ERASED

    @event(RelayParked)
    def _apply_parked(
        self,
        *,
        exchange: str,
        sender: str,
        direction: str,
        kind: str,
        package: str,
        package_bytes: int,
        reply: str,
    ) -> None:
        self.exchange = exchange
        self.sender = sender
        self.direction = Direction(direction)
        self.kind = RelayKind(kind)
        if self.direction is Direction.IN:
            self.package_bytes = package_bytes
            self.stored = package or reply
        self.state = RelayState.PARKED

    @event(RelayResumed)
    def _apply_resumed(self) -> None:
        # What was parked before its package was made, or came, begins anew.
        made = self.package_bytes >= 0
        self.state = RelayState.QUEUED if made else RelayState.WAITING
