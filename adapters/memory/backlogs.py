"""What waits to be taken delivery of, in the views in memory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from adapters.memory.views import MemoryViews
from hub.application.ports import Backlog, DeliveryRow, DocumentRow
from hub.domain.delivery import DeliveryState, RecallState


class MemoryBacklogs:
    """The port Backlogs."""

    def __init__(self, views: MemoryViews) -> None:
        self._views = views

    def uncollected(self) -> Sequence[Backlog]:
        """Each agency for which something waits, by code."""
        rows = [*self._views.rows()]
        documents = {row.exchange_id: row for row in rows if isinstance(row, DocumentRow)}
        waiting: dict[str, list[datetime]] = {}
        for row in rows:
            if isinstance(row, DeliveryRow) and _waits(row, documents[row.exchange_id]):
                accepted_at = documents[row.exchange_id].accepted_at
                waiting.setdefault(row.recipient, []).append(accepted_at)
        return [
            Backlog(agency, len(found), min(found)) for agency, found in sorted(waiting.items())
        ]


def _waits(row: DeliveryRow, document: DocumentRow) -> bool:
    return (
        row.state is DeliveryState.CONSIGNED
        and not row.expired
        and row.recall in {RecallState.NONE, RecallState.REFUSED}
        and not document.erased
        and document.replaced_by is None
    )
