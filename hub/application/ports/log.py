"""The event log."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol
from uuid import UUID

from eventsourcing.persistence import StoredEvent


class HeadMoved(Exception):
    """Another process committed first: decide the batch again on the new head."""


class LogStopped(OSError):
    """A hub found that what is stored contradicts itself: nothing is appended by any hub."""


@dataclass(frozen=True, slots=True)
class Head:
    """Where the log ends: the next position, and that of the last registry event (or -1)."""

    next_position: int
    registry_version: int


class LogEntry(NamedTuple):
    """An event as stored. `state` is the leaf; the other columns only index it.

    `aggregate` are the 16 bytes of its id. A tuple, for logs are read by the million.
    """

    position: int
    aggregate: bytes
    version: int
    topic: str
    state: bytes

    @property
    def aggregate_id(self) -> UUID:
        """The id itself."""
        return UUID(bytes=self.aggregate)


@dataclass(frozen=True, slots=True)
class AcceptedRequest:
    """What binds a request id: the caller's, for ever, to one payload digest.

    `digest` is SHA-256 of the payload, `exchange_id` the exchange it opened or speaks of
    (None for registry requests), `position` that of the event that accepted it.
    """

    caller: str
    request_id: str
    digest: bytes
    position: int
    exchange_id: UUID | None


@dataclass(frozen=True, slots=True)
class RequestKey:
    """What makes a call idempotent: whose it is, its id, and the digest it is bound to."""

    caller: str
    request_id: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class NewRequest:
    """An idempotency row to be written with the event at `offset` of its commit."""

    caller: str
    request_id: str
    digest: bytes
    offset: int
    exchange_id: UUID | None


@dataclass(frozen=True, slots=True)
class SealedPayload:
    """A statement's payload, encrypted under its exchange's key; erasable by law."""

    digest: bytes
    exchange_id: UUID
    sealed: bytes


@dataclass(frozen=True, slots=True)
class Commit:
    """All that one batch writes, in one transaction.

    `registry_offset` is the offset of the last event that changes the registry, or None.
    `inbox_heads` and `outbox_heads` hold the last number given in the inbox and outbox of
    each agency this batch touched.
    """

    expected_head: int
    events: Sequence[StoredEvent]
    registry_offset: int | None
    requests: Sequence[NewRequest]
    payloads: Sequence[SealedPayload]
    evidence: Mapping[bytes, bytes]
    inbox_heads: Mapping[str, int]
    outbox_heads: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Seen:
    """How far several hubs have come together, at one moment.

    `size` is that of the newest stored checkpoint, 0 before the first; `views` is the next event
    that the lists have not seen. `frozen` says why a hub stopped the log, and is None while it goes
    on. Under `alone` the hub that leads lets no other append.
    """

    next_position: int
    registry_version: int
    size: int
    views: int
    epoch: int
    alone: bool
    frozen: str | None
    frozen_position: int | None


class Appending(Protocol):
    """The end of the log, held: nobody else appends meanwhile."""

    @property
    def head(self) -> Head:
        """Where the log ends."""
        ...

    @property
    def append(self) -> Callable[[Commit], None]:
        """Writes once, as `EventLog.commit` does; kept when the block is left without an error."""
        ...


@dataclass(frozen=True, slots=True)
class Erasure:
    """What was erased by law: the position of its `PayloadErased` or `ArrivalErased`.

    `exchange_id` is the document's; of a package that was parked on arrival, its relay's.
    """

    position: int
    exchange_id: UUID


class Erasable(Protocol):
    """A store that holds something of documents which dies when they are erased by law.

    What has been erased here the store remembers inside itself, and nowhere else: an older
    copy of it then knows by itself what it has yet to forget (docs/decisions/0020).
    """

    def erased_below(self) -> int:
        """Every erasure recorded at a lower position has been carried out in this copy."""
        ...

    def erase(self, exchange_ids: Sequence[UUID], below: int) -> None:
        """Destroy all there is of these exchanges, then remember `below`; repeat it at will.

        On return nothing of them is left in the store's files. A lower `below` begins anew, for a
        log that lost its end. Raises OSError when it is not certain: repeat it.
        """
        ...


class EventLog(Protocol):
    """The append-only table of events, and the rows that are written with them.

    Untrusted: every event read is checked against the tree. Once `commit` returns, its
    rows survive a power cut; when it raises, they may or may not have been kept.
    Positions are gapless, counted from 0, and assigned inside the transaction.
    """

    def head(self) -> Head:
        """Where the log ends now."""
        ...

    def commit(self, commit: Commit) -> None:
        """Write everything or nothing.

        Raises HeadMoved when the log does not end at `expected_head`; IntegrityError of the
        library (a RecordConflictError) when a version of an aggregate, a request or a payload
        is there already; ValueError for a commit that contradicts itself.
        """
        ...

    def appending(self) -> AbstractContextManager[Appending]:
        """Hold the end of the log until the block is left, which commits.

        What is read meanwhile, by whatever method, is all that was committed before. For hubs that
        append to one log; a hub that is alone with it has `commit`. Raises LogStopped.
        """
        ...

    def entries(self, start: int, limit: int) -> Sequence[LogEntry]:
        """At most `limit` entries from position `start` on, in order."""
        ...

    def registry_entries(self, after: int = -1, topics: Collection[str] = ()) -> Iterator[LogEntry]:
        """All events above `after` that decide who may do what, in order.

        Only those of `topics`, where any are named.
        """
        ...

    def timestamps(self, start: int, limit: int) -> Sequence[LogEntry]:
        """At most `limit` events `TimestampObtained` from position `start` on, in order."""
        ...

    def verdicts(self, below: int, limit: int) -> Sequence[LogEntry]:
        """At most `limit` events `SignatureVerdictMade` below a position, the newest first."""
        ...

    def reconciliations(self, below: int, limit: int) -> Sequence[LogEntry]:
        """At most `limit` events `ReconciliationMade` below a position, the newest first."""
        ...

    def revocation_evidence(self, below: int, limit: int) -> Sequence[LogEntry]:
        """At most `limit` events `RevocationEvidenceStored` below a position, the newest first."""
        ...

    def entries_of(
        self, aggregate_ids: Sequence[UUID], start: int, limit: int
    ) -> Sequence[LogEntry]:
        """At most `limit` entries of these aggregates from position `start` on, in order."""
        ...

    def select_events(self, originator_id: UUID) -> Sequence[StoredEvent]:
        """The history of one aggregate, oldest first."""
        ...

    def requests(self, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], AcceptedRequest]:
        """Those of the (caller, request id) pairs that were accepted."""
        ...

    def request_of(self, digest: bytes) -> AcceptedRequest | None:
        """The accepted request whose payload has this digest."""
        ...

    def request_count(self) -> int:
        """How many requests were ever accepted."""
        ...

    def payload(self, digest: bytes) -> SealedPayload | None:
        """A payload, sealed; None when it was erased or never was."""
        ...

    def payloads(self, digests: Sequence[bytes]) -> dict[bytes, SealedPayload]:
        """Those of the payloads that are there, by digest; in few queries."""
        ...

    def evidence(self, digest: bytes) -> bytes | None:
        """A certificate or the like by its SHA-256."""
        ...

    def inbox_heads(self, agencies: Sequence[str]) -> dict[str, int]:
        """The last inbox number given to each agency; absent means none yet."""
        ...

    def outbox_heads(self, agencies: Sequence[str]) -> dict[str, int]:
        """The last outbox number given to each agency; absent means none yet."""
        ...

    def erasures(self, start: int, limit: int) -> Sequence[Erasure]:
        """At most `limit` documents erased at position `start` or later, in order.

        Costs what it finds, however long the log is.
        """
        ...

    def erased_below(self) -> int:
        """As `Erasable`, for payloads and the words in the views of the same database."""
        ...

    def erase(self, exchange_ids: Sequence[UUID], below: int) -> None:
        """As `Erasable`: the payloads of these exchanges, and every trace of erased words.

        Views that stand below `below` may still show words.
        """
        ...


class AppendProbe(Protocol):
    """Tries whether the event log can be written, without writing an event. Untrusted."""

    def append_and_read(self) -> None:
        """Append beyond the end of the log, read it back, undo it, and sync.

        Nobody else ever sees it, and the log ends where it ended. Raises OSError where an event
        could not be appended now, another hub leading included.
        """
        ...
