"""Inboxes, outboxes and status lists in memory."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from adapters.memory.faults import FaultSwitch, breakable
from hub.application.ports import (
    DeliveryRow,
    DocumentRow,
    NoticeKind,
    NoticeRow,
    OrderRow,
    RelayRow,
    ViewChanges,
)
from hub.domain.delivery import RecallState
from hub.domain.relay import RelayState
from hub.errors import LedgerMismatch

# The lines of each box, of whose inbox or (True) outbox it is; line n stands at n - 1.
_Boxes = dict[tuple[bool, str], list[NoticeRow]]


class MemoryViews:
    """The port Views.

    Stricter than the database: a document stays where it stood in the log, nothing about a
    delivery steps back, the numbers of a box have no gaps.
    """

    def __init__(self) -> None:
        self._position = 0
        self._documents: dict[UUID, DocumentRow] = {}
        self._deliveries: dict[tuple[UUID, str], DeliveryRow] = {}
        self._boxes: _Boxes = {}
        self._orders: dict[bytes, OrderRow] = {}
        self._relays: dict[UUID, RelayRow] = {}
        self.faults = FaultSwitch(self)

    @breakable
    def position(self) -> int:
        """The next event they have not seen."""
        return self._position

    @breakable
    def apply(self, changes: ViewChanges, *, start: int, end: int) -> None:
        """Take in events `start` to `end` (not included).

        Raises ValueError for another `start` than `position`, an `end` before it, a new row
        or state that is not from this stretch, an instant that is not in UTC, a delivery
        that steps back, or a gap in a box; LedgerMismatch for a delivery whose document or
        inbox number cannot be, and for a notice of an unknown delivery or under a number of
        its box that was given before.
        """
        if start != self._position:
            raise ValueError(f"the views do not stand at position {start}")
        if end < start:
            raise ValueError(f"events {start} to {end} run backwards")
        stretch = range(start, end)
        documents = self._with_documents(changes.documents, stretch)
        deliveries = self._with_deliveries(changes.deliveries, stretch)
        boxes = self._with_notices(changes.notices, stretch)
        orders = self._with_orders(changes.orders, stretch)
        relays = self._with_relays(changes.relays)
        _require_fitting(documents, deliveries, changes.notices, start)
        self._documents, self._deliveries, self._boxes = documents, deliveries, boxes
        self._orders, self._relays = orders, relays
        self._position = end

    @breakable
    def clear(self) -> None:
        """Forget everything, to be rebuilt from position 0."""
        self._documents, self._deliveries, self._boxes = {}, {}, {}
        self._orders, self._relays = {}, {}
        self._position = 0

    @breakable
    def document(self, exchange_id: UUID) -> DocumentRow | None:
        """One document."""
        return self._documents.get(exchange_id)

    @breakable
    def delivery(self, exchange_id: UUID, recipient: str) -> DeliveryRow | None:
        """The delivery of a document at one recipient."""
        return self._deliveries.get((exchange_id, recipient))

    @breakable
    def deliveries(self, exchange_id: UUID) -> Sequence[DeliveryRow]:
        """All deliveries of a document, by recipient code."""
        found = [row for row in self._deliveries.values() if row.exchange_id == exchange_id]
        return sorted(found, key=lambda row: row.recipient)

    @breakable
    def documents(self, exchange_ids: Collection[UUID]) -> dict[UUID, DocumentRow]:
        """Those of many documents that there are."""
        return {each: self._documents[each] for each in exchange_ids if each in self._documents}

    @breakable
    def deliveries_at(
        self, places: Collection[tuple[UUID, str]]
    ) -> dict[tuple[UUID, str], DeliveryRow]:
        """Those of many deliveries that there are, each by its exchange and recipient."""
        return {each: self._deliveries[each] for each in places if each in self._deliveries}

    @breakable
    def inbox(
        self, agency: str, after: int, limit: int
    ) -> Sequence[tuple[NoticeRow, DeliveryRow, DocumentRow]]:
        """At most `limit` lines of an agency's inbox with a larger number, in order."""
        lines = self._boxes.get((False, agency), [])[after : after + limit]
        return [
            (
                line,
                self._deliveries[line.exchange_id, line.recipient],
                self._documents[line.exchange_id],
            )
            for line in lines
        ]

    @breakable
    def outbox(
        self, agency: str, after: int, limit: int
    ) -> Sequence[tuple[NoticeRow, DocumentRow]]:
        """At most `limit` lines of an agency's outbox with a larger number, in order."""
        lines = self._boxes.get((True, agency), [])[after : after + limit]
        return [(line, self._documents[line.exchange_id]) for line in lines]

    @breakable
    def overdue(self, at: datetime, limit: int) -> Sequence[DeliveryRow]:
        """At most `limit` deliveries that are still open at or after their `expires_at`.

        Oldest limit first, then by exchange and recipient.
        """
        found = [
            (row.expires_at, row.exchange_id, row.recipient)
            for row in self._deliveries.values()
            if not (row.collected or row.expired or row.recall is RecallState.AGREED)
            and row.expires_at
            and row.expires_at <= at
        ]
        return [
            self._deliveries[exchange_id, recipient]
            for _expires_at, exchange_id, recipient in sorted(found)[:limit]
        ]

    @breakable
    def order(self, digest: bytes) -> OrderRow | None:
        """The order with this digest."""
        return self._orders.get(digest)

    @breakable
    def orders(self, after: int, limit: int, *, open_only: bool) -> Sequence[OrderRow]:
        """At most `limit` orders at a position above `after`, in order."""
        found = [
            row
            for row in self._orders.values()
            if row.position > after and not (open_only and row.approved_by)
        ]
        return sorted(found, key=lambda row: row.position)[:limit]

    @breakable
    def relay(self, relay_id: UUID) -> RelayRow | None:
        """One package to or from the axis."""
        return self._relays.get(relay_id)

    @breakable
    def relays_of(self, exchange_id: UUID) -> Sequence[RelayRow]:
        """All packages of a document, by position and id."""
        found = [row for row in self._relays.values() if row.exchange_id == exchange_id]
        return sorted(found, key=lambda row: (row.position, row.relay_id))

    @breakable
    def rows(self) -> Iterator[DocumentRow | DeliveryRow | NoticeRow | OrderRow | RelayRow]:
        """Every row: documents, deliveries, notices, orders and packages, each by their key."""
        documents = [self._documents[key] for key in sorted(self._documents)]
        deliveries = [self._deliveries[key] for key in sorted(self._deliveries)]
        notices = [line for key in sorted(self._boxes) for line in self._boxes[key]]
        orders = sorted(self._orders.values(), key=lambda row: row.position)
        relays = [self._relays[key] for key in sorted(self._relays)]
        return iter([*documents, *deliveries, *notices, *orders, *relays])

    def _with_documents(
        self, rows: Sequence[DocumentRow], stretch: range
    ) -> dict[UUID, DocumentRow]:
        documents = dict(self._documents)
        for row in rows:
            former = documents.get(row.exchange_id)
            if former is None:
                _require_plausible(row.accepted_at, row.position, stretch)
            elif (row.position, row.accepted_at) != (former.position, former.accepted_at):
                raise ValueError("a document was accepted a second time")
            elif _words(row) != (("",) * 4 if row.erased else _words(former)):
                raise ValueError("the words of a document change")
            documents[row.exchange_id] = row
        return documents

    def _with_deliveries(
        self, rows: Sequence[DeliveryRow], stretch: range
    ) -> dict[tuple[UUID, str], DeliveryRow]:
        deliveries = dict(self._deliveries)
        for row in rows:
            former = deliveries.get((row.exchange_id, row.recipient))
            if former is not None:
                _require_forward(former, row)
            if former is None or (row.state, row.position) != (former.state, former.position):
                _require_plausible(row.updated_at, row.position, stretch)
            if row.expires_at is not None:
                _require_utc(row.expires_at)
            deliveries[row.exchange_id, row.recipient] = row
        return deliveries

    def _with_orders(self, rows: Sequence[OrderRow], stretch: range) -> dict[bytes, OrderRow]:
        orders = dict(self._orders)
        for row in rows:
            former = orders.get(row.digest)
            if former is None:
                _require_plausible(row.ordered_at, row.position, stretch)
            elif former.approved_by or former.position != row.position:
                raise ValueError("an order is given and approved once")
            orders[row.digest] = row
        return orders

    def _with_relays(self, rows: Sequence[RelayRow]) -> dict[UUID, RelayRow]:
        relays = dict(self._relays)
        for row in rows:
            _require_utc(row.since)
            _require_utc(row.updated_at)
            former = relays.get(row.relay_id)
            if former is not None:
                _require_on_its_way(former, row)
            relays[row.relay_id] = row
        return relays

    def _with_notices(self, rows: Sequence[NoticeRow], stretch: range) -> _Boxes:
        boxes = {key: list(lines) for key, lines in self._boxes.items()}
        for row in rows:
            _require_plausible(row.recorded_at, row.position, stretch)
            lines = boxes.setdefault((row.outbox, row.agency), [])
            if row.seq <= len(lines):
                raise LedgerMismatch("a number of a box was given twice", position=stretch.start)
            if row.seq != len(lines) + 1:
                raise ValueError(f"line {row.seq} of a box follows {len(lines)}")
            lines.append(row)
        return boxes


def _words(row: DocumentRow) -> tuple[str, ...]:
    return (row.code, row.type_name, row.type_code, row.subject)


def _require_plausible(at: datetime, position: int, stretch: range) -> None:
    _require_utc(at)
    if position not in stretch:
        raise ValueError(f"position {position} is not from these events: {stretch}")


def _require_utc(at: datetime) -> None:
    if at.utcoffset() != timedelta(0):
        raise ValueError("an instant is not in UTC")


def _require_forward(former: DeliveryRow, row: DeliveryRow) -> None:
    if row.state < former.state:
        raise ValueError("a delivery's state steps back")
    if row.recall < former.recall:
        raise ValueError("a recall steps back")
    if former.recall is RecallState.AGREED and row.recall is not former.recall:
        raise ValueError("a recall is answered a second time")
    if row.collected < former.collected or row.expired < former.expired:
        raise ValueError("what was collected or has expired stays so")


def _require_on_its_way(former: RelayRow, row: RelayRow) -> None:
    if former.direction is not row.direction or row.updated_at < former.updated_at:
        raise ValueError("a package turns round, or goes back in time")
    over = (RelayState.SENT, RelayState.TAKEN)
    if former.state in over and row.state is not former.state:
        raise ValueError("a package that is over goes on")


def _require_fitting(
    documents: dict[UUID, DocumentRow],
    deliveries: dict[tuple[UUID, str], DeliveryRow],
    notices: Sequence[NoticeRow],
    start: int,
) -> None:
    numbers = {(row.recipient, row.inbox_seq) for row in deliveries.values()}
    if len(numbers) < len(deliveries):
        raise LedgerMismatch("an inbox number was given twice", position=start)
    if any(row.exchange_id not in documents for row in deliveries.values()):
        raise LedgerMismatch("a delivery is of an unknown document", position=start)
    if any(
        (row.exchange_id, row.recipient) not in deliveries
        for row in notices
        if row.kind is not NoticeKind.DELIVERY_ERASED
    ):
        raise LedgerMismatch("a notice is of an unknown delivery", position=start)
