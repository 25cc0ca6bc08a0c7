"""Read models: inboxes, outboxes, where each document is."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import IntEnum
from typing import Protocol
from uuid import UUID

from hub.domain.delivery import DeliveryState, RecallState
from hub.domain.relay import Direction, RelayKind, RelayState


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """What lists show of a document; `replaced_by` is the exchange that replaced it.

    All but ids, times, counts and digests comes from the envelope's words and is empty once
    they were erased. `priority` is a value of `hub.proof.envelope.Priority`. `erased` says
    that they were erased by law, not lost. `origin` is `axis` for a document that came over the
    national axis, whose sender is a claim.
    """

    exchange_id: UUID
    sender: str
    envelope_digest: bytes
    position: int
    accepted_at: datetime
    code: str
    type_name: str
    subject: str
    attachment_count: int
    attachment_bytes: int
    replaced_by: UUID | None
    type_code: str = ""
    priority: str = ""
    issued_on: date | None = None
    due_on: date | None = None
    erased: bool = False
    origin: str = ""


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """Where a document is at one recipient; `position` is that of the event that says so.

    `inbox_seq` is the number of the document itself in the recipient's inbox. `expires_at` is
    the sender's limit for collecting it. `due_on` is the document's, so that those that wait
    for an answer are found; it goes with the document's words when they are erased.
    """

    exchange_id: UUID
    recipient: str
    inbox_seq: int
    state: DeliveryState
    collected: bool
    recall: RecallState
    expired: bool
    expires_at: datetime | None
    position: int
    updated_at: datetime
    due_on: date | None = None


class NoticeKind(IntEnum):
    """What a line of an inbox or outbox says."""

    DOCUMENT = 1
    RECALL = 2
    UPDATED = 3
    REPLACED = 4
    EXPIRED = 5
    ERASED = 6
    IN_DOUBT = 7
    SIGNATURES = 8
    HANDED_OVER = 11
    STATUS = 12
    RECALL_ANSWER = 13
    DELIVERY_EXPIRED = 14
    DELIVERY_ERASED = 15
    DELIVERY_IN_DOUBT = 16
    AXIS_STATUS = 17
    AXIS_RECALL_ANSWER = 18


@dataclass(frozen=True, slots=True)
class NoticeRow:
    """One line of an agency's inbox or outbox: a fact with its gapless number there.

    `agency` is whose box it is, `recipient` the recipient concerned (empty for an erasure in an
    outbox, which concerns all), `code` that of a status or answer (else empty), `by_exchange` the
    exchange that updated or replaced the document.
    Never changes once written.
    """

    outbox: bool
    agency: str
    seq: int
    kind: NoticeKind
    exchange_id: UUID
    recipient: str
    code: str
    by_exchange: UUID | None
    position: int
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class OrderRow:
    """An action that takes two operators: who ordered it, and who approved it, if anybody.

    `position` is that of the order, `digest` SHA-256 of its payload. `exchange_id` and
    `envelope_digest` name the document it concerns, `hub_key` the key of the hub, where it
    concerns one.
    """

    position: int
    digest: bytes
    action: str
    exchange_id: UUID | None
    envelope_digest: bytes | None
    reason: str
    basis: str
    ordered_by: str
    ordered_at: datetime
    lapses_at: datetime
    approved_by: str | None = None
    approved_at: datetime | None = None
    hub_key: str | None = None


@dataclass(frozen=True, slots=True)
class RelayRow:
    """A package to or from the axis.

    `agency` is whose status it carries, empty for a document or recall. `position` is that of
    the fact it tells, or that recorded it, `since` that fact's time. `attempts` failed so far;
    `again_at` is when the next is due. `reason` and `code` say why it failed or was parked.
    `document_key` and `fingerprint` are there for documents that came: what they are called by
    their sender, and what they say; zeros once it was erased by law.
    """

    relay_id: UUID
    direction: Direction
    kind: RelayKind
    exchange_id: UUID
    agency: str
    status: str
    state: RelayState
    position: int
    since: datetime
    updated_at: datetime
    attempts: int = 0
    again_at: datetime | None = None
    reason: str = ""
    code: str = ""
    axis_id: str = ""
    package: bytes = b""
    package_bytes: int = -1
    request_bytes: int = -1
    document_key: bytes = b""
    fingerprint: bytes = b""


@dataclass(frozen=True, slots=True)
class ViewChanges:
    """What a stretch of events changes in the views.

    Documents, deliveries and orders replace their former row; notices are only added. The words
    of a document (code, kind, subject) never change but by erasing, which empties them.
    """

    documents: Sequence[DocumentRow]
    deliveries: Sequence[DeliveryRow]
    notices: Sequence[NoticeRow]
    orders: Sequence[OrderRow] = ()
    relays: Sequence[RelayRow] = ()


class Views(Protocol):
    """Inbox and status lists. Untrusted and disposable: rebuilt from the events.

    They hold nothing that no checkpoint covers.
    """

    def position(self) -> int:
        """The next event they have not seen."""
        ...

    def apply(self, changes: ViewChanges, *, start: int, end: int) -> None:
        """Take in events `start` to `end` (not included).

        Raises ValueError for any other `start` than `position`; LedgerMismatch for a delivery
        of an unknown document or with an inbox number that is another's.
        """
        ...

    def clear(self) -> None:
        """Forget everything, to be rebuilt from position 0."""
        ...

    def document(self, exchange_id: UUID) -> DocumentRow | None:
        """One document."""
        ...

    def delivery(self, exchange_id: UUID, recipient: str) -> DeliveryRow | None:
        """The delivery of a document at one recipient."""
        ...

    def deliveries(self, exchange_id: UUID) -> Sequence[DeliveryRow]:
        """All deliveries of a document, by recipient code."""
        ...

    def documents(self, exchange_ids: Collection[UUID]) -> dict[UUID, DocumentRow]:
        """Those of many documents that there are."""
        ...

    def deliveries_at(
        self, places: Collection[tuple[UUID, str]]
    ) -> dict[tuple[UUID, str], DeliveryRow]:
        """Those of many deliveries that there are, each by its exchange and recipient."""
        ...

    def inbox(
        self, agency: str, after: int, limit: int
    ) -> Sequence[tuple[NoticeRow, DeliveryRow, DocumentRow]]:
        """The lines of an agency's inbox with a larger number, in order, with what they concern."""
        ...

    def outbox(
        self, agency: str, after: int, limit: int
    ) -> Sequence[tuple[NoticeRow, DocumentRow]]:
        """The lines of an agency's outbox with a larger number, in order."""
        ...

    def overdue(self, at: datetime, limit: int) -> Sequence[DeliveryRow]:
        """Deliveries not collected and not yet expired whose `expires_at` has passed.

        Oldest limit first; one indexed query.
        """
        ...

    def order(self, digest: bytes) -> OrderRow | None:
        """The order with this digest."""
        ...

    def orders(self, after: int, limit: int, *, open_only: bool) -> Sequence[OrderRow]:
        """Orders at a position above `after`, in order; `open_only`: those nobody approved."""
        ...

    def relay(self, relay_id: UUID) -> RelayRow | None:
        """One package to or from the axis."""
        ...

    def relays_of(self, exchange_id: UUID) -> Sequence[RelayRow]:
        """All packages of a document, by position and id."""
        ...

    def rows(self) -> Iterator[DocumentRow | DeliveryRow | NoticeRow | OrderRow | RelayRow]:
        """Every row in a fixed order, to be compared with a rebuild."""
        ...
