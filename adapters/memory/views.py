"""Inbox and status lists in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from adapters.memory.faults import FaultSwitch, breakable
from hub.application.ports import DeliveryRow, DocumentRow, ViewChanges
from hub.errors import LedgerMismatch


class MemoryViews:
    """The port Views. Stricter than the database: a delivery never steps back."""

    def __init__(self) -> None:
        self._position = 0
        self._documents: dict[UUID, DocumentRow] = {}
        self._deliveries: dict[tuple[UUID, str], DeliveryRow] = {}
        self.faults = FaultSwitch(self)

    @breakable
    def position(self) -> int:
        """The next event they have not seen."""
        return self._position

    @breakable
    def apply(self, changes: ViewChanges, *, start: int, end: int) -> None:
        """Take in events `start` to `end` (not included).

        Raises ValueError for another `start` than `position`, an `end` before it, a document
        or a new state that is not from this stretch, or an instant that is not in UTC;
        LedgerMismatch for a delivery whose document or inbox number cannot be.
        """
        if start != self._position:
            raise ValueError(f"the views do not stand at position {start}")
        if end < start:
            raise ValueError(f"events {start} to {end} run backwards")
        for document in changes.documents:
            _require_plausible(document.accepted_at, document.position, start, end)
        documents = self._documents | {row.exchange_id: row for row in changes.documents}
        deliveries = dict(self._deliveries)
        for row in changes.deliveries:
            former = deliveries.get((row.exchange_id, row.recipient))
            if former is not None and row.state < former.state:
                raise ValueError("a delivery's state steps back")
            if former is None or (row.state, row.position) != (former.state, former.position):
                _require_plausible(row.updated_at, row.position, start, end)
            deliveries[row.exchange_id, row.recipient] = row
        _require_fitting(documents, deliveries, start)
        self._documents, self._deliveries, self._position = documents, deliveries, end

    @breakable
    def clear(self) -> None:
        """Forget everything, to be rebuilt from position 0."""
        self._documents, self._deliveries, self._position = {}, {}, 0

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
    def inbox(
        self, agency: str, after: int, limit: int
    ) -> Sequence[tuple[DeliveryRow, DocumentRow]]:
        """An agency's items with a larger `inbox_seq`, at most `limit`, in order."""
        found = [
            row
            for row in self._deliveries.values()
            if row.recipient == agency and row.inbox_seq > after
        ]
        found.sort(key=lambda row: row.inbox_seq)
        return [(row, self._documents[row.exchange_id]) for row in found[:limit]]

    @breakable
    def rows(self) -> Iterator[DocumentRow | DeliveryRow]:
        """Every row: documents by id, then deliveries by recipient and number."""
        documents = sorted(self._documents.values(), key=lambda row: row.exchange_id)
        deliveries = sorted(
            self._deliveries.values(), key=lambda row: (row.recipient, row.inbox_seq)
        )
        return iter([*documents, *deliveries])


def _require_plausible(at: datetime, position: int, start: int, end: int) -> None:
    if at.utcoffset() != timedelta(0):
        raise ValueError("an instant is not in UTC")
    if not start <= position < end:
        raise ValueError(f"position {position} is not from events {start} to {end}")


def _require_fitting(
    documents: dict[UUID, DocumentRow],
    deliveries: dict[tuple[UUID, str], DeliveryRow],
    start: int,
) -> None:
    numbers = {(row.recipient, row.inbox_seq) for row in deliveries.values()}
    if len(numbers) < len(deliveries):
        raise LedgerMismatch("an inbox number was given twice", position=start)
    if any(row.exchange_id not in documents for row in deliveries.values()):
        raise LedgerMismatch("a delivery is of an unknown document", position=start)
