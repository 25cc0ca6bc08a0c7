"""Lists of documents over the views in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime
from typing import TypeVar
from uuid import UUID

from adapters.memory.views import MemoryViews
from hub.application.ports import (
    DeliveryRow,
    DocumentFilter,
    DocumentRow,
    ReceivedRows,
    SentRows,
    Tally,
)
from hub.domain.deadlines import ANSWERED, STANDING, Passed
from hub.domain.delivery import DeliveryState, RecallState
from hub.domain.folding import as_searched, fold

T = TypeVar("T", date, datetime)


class MemoryDocumentLists:
    """The port DocumentLists: looks at every row, so a page is short only at the end."""

    def __init__(self, views: MemoryViews) -> None:
        self._views = views

    def received(
        self, agency: str, wanted: DocumentFilter, passed: Passed, before: int | None, limit: int
    ) -> ReceivedRows:
        """Documents in an agency's inbox with an `inbox_seq` below `before`, by falling one."""
        documents, deliveries = self._rows()
        found = [
            (row, documents[row.exchange_id])
            for row in deliveries
            if row.recipient == agency
            and (before is None or row.inbox_seq < before)
            and _is_wanted(documents[row.exchange_id], wanted, row.recall)
            and wanted.other_agency in {"", documents[row.exchange_id].sender}
            and _delivery_is_wanted(row, documents[row.exchange_id], wanted, passed)
        ]
        found.sort(key=lambda pair: -pair[0].inbox_seq)
        more = len(found) > limit
        return ReceivedRows(found[:limit], found[limit - 1][0].inbox_seq if more else None)

    def sent(
        self, agency: str, wanted: DocumentFilter, passed: Passed, before: int | None, limit: int
    ) -> SentRows:
        """Documents an agency sent with a position below `before`, by falling position."""
        documents, deliveries = self._rows()
        found = [
            document
            for document in documents.values()
            if document.sender == agency
            and (before is None or document.position < before)
            and _is_wanted(document, wanted, RecallState.NONE)
            and any(
                row.exchange_id == document.exchange_id
                and wanted.other_agency in {"", row.recipient}
                and _delivery_is_wanted(row, document, wanted, passed)
                for row in deliveries
            )
        ]
        found.sort(key=lambda document: -document.position)
        rows = [(document, _tallies(document, deliveries)) for document in found[:limit]]
        return SentRows(rows, found[limit - 1].position if len(found) > limit else None)

    def _rows(self) -> tuple[dict[UUID, DocumentRow], list[DeliveryRow]]:
        rows = list(self._views.rows())
        documents = {row.exchange_id: row for row in rows if isinstance(row, DocumentRow)}
        return documents, [row for row in rows if isinstance(row, DeliveryRow)]


def _is_wanted(document: DocumentRow, wanted: DocumentFilter, recall: RecallState) -> bool:
    subject = as_searched(document.subject) if recall is not RecallState.AGREED else ""
    return (
        wanted.type in {"", fold(document.type_name), fold(document.type_code)}
        and (not wanted.priorities or document.priority in wanted.priorities)
        and wanted.code in fold(document.code)
        and all(f" {word} " in subject for word in wanted.words)
        and _from(document.accepted_at, wanted.accepted_from)
        and (wanted.accepted_before is None or document.accepted_at < wanted.accepted_before)
        and _from(document.issued_on, wanted.issued_from)
        and _from(wanted.issued_to, document.issued_on)
        and wanted.replaced in {None, document.replaced_by is not None}
        # A range of dates finds no document whose date is not known any more.
        and (document.issued_on is not None or not (wanted.issued_from or wanted.issued_to))
    )


def _delivery_is_wanted(
    row: DeliveryRow, document: DocumentRow, wanted: DocumentFilter, passed: Passed
) -> bool:
    return (
        (not wanted.states or row.state in wanted.states)
        and wanted.recalled in {None, row.recall is not RecallState.NONE}
        and (not wanted.overdue_only or _is_late(row, document, passed))
    )


def _is_late(row: DeliveryRow, document: DocumentRow, passed: Passed) -> bool:
    if document.replaced_by or document.erased or row.expired or row.recall not in STANDING:
        return False
    not_collected = row.state is DeliveryState.CONSIGNED
    not_answered = row.due_on is not None and row.state not in ANSWERED
    return (not_collected and document.accepted_at < passed.accepted_before) or (
        not_answered and _from(passed.due_until, row.due_on)
    )


def _from(value: T | None, first: T | None) -> bool:
    return value is None or first is None or value >= first


def _tallies(document: DocumentRow, deliveries: Sequence[DeliveryRow]) -> list[Tally]:
    counts = Counter(
        (row.state, row.recall, row.expired)
        for row in deliveries
        if row.exchange_id == document.exchange_id
    )
    return [Tally(*alike, count) for alike, count in sorted(counts.items())]
