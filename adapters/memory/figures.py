"""Figures for statistics over the views in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from adapters.memory.views import MemoryViews
from hub.application.ports import (
    DeliveryFigures,
    DeliveryRow,
    DocumentFigures,
    DocumentRow,
    FiguresWanted,
    NoticeKind,
    NoticeRow,
    OrderRow,
    RelayRow,
)
from hub.domain.delivery import RecallState


class MemoryFigures:
    """The port Figures: copies everything, so what is counted does not change meanwhile."""

    def __init__(self, views: MemoryViews) -> None:
        self._views = views

    @contextmanager
    def snapshot(self) -> Iterator[_Snapshot]:
        """One state of the views."""
        yield _Snapshot(self._views.position(), [*self._views.rows()])


class _Snapshot:
    def __init__(
        self,
        position: int,
        rows: Sequence[DocumentRow | DeliveryRow | NoticeRow | OrderRow | RelayRow],
    ) -> None:
        self.position = position
        self._rows = rows
        self._documents = {row.exchange_id: row for row in rows if isinstance(row, DocumentRow)}

    def sent(self, wanted: FiguresWanted) -> Iterator[DocumentFigures]:
        """What was sent."""
        for row in self._documents.values():
            if wanted.agency in {"", row.sender} and _in_range(row, wanted):
                yield DocumentFigures(row.sender, row.type_name, row.accepted_at)

    def received(self, wanted: FiguresWanted) -> Iterator[DeliveryFigures]:
        """What was received."""
        for row in self._rows:
            if isinstance(row, DeliveryRow) and wanted.agency in {"", row.recipient}:
                document = self._documents[row.exchange_id]
                if _in_range(document, wanted):
                    yield self._delivery(row, document)

    def _delivery(self, row: DeliveryRow, document: DocumentRow) -> DeliveryFigures:
        notices = [
            notice
            for notice in self._rows
            if isinstance(notice, NoticeRow)
            and (notice.exchange_id, notice.recipient) == (row.exchange_id, row.recipient)
        ]
        ends = {NoticeKind.REPLACED, NoticeKind.EXPIRED, NoticeKind.ERASED}
        if row.recall is not RecallState.REFUSED:
            ends.add(NoticeKind.RECALL)
        taken_over = {NoticeKind.HANDED_OVER, NoticeKind.STATUS}
        return DeliveryFigures(
            recipient=row.recipient,
            kind=document.type_name,
            accepted_at=document.accepted_at,
            due_on=document.due_on,
            taken_over_at=_first(each for each in notices if each.kind in taken_over),
            answered_at=_first(each for each in notices if each.code in {"02", "06"}),
            released_at=_first(each for each in notices if each.kind in ends),
        )


def _in_range(row: DocumentRow, wanted: FiguresWanted) -> bool:
    return (wanted.start is None or row.accepted_at >= wanted.start) and (
        wanted.end is None or row.accepted_at < wanted.end
    )


def _first(notices: Iterator[NoticeRow]) -> datetime | None:
    return min((notice.recorded_at for notice in notices), default=None)
