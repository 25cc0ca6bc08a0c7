"""Documents past their time, over the views in memory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from adapters.memory.views import MemoryViews
from hub.application.ports import DocumentRow, OrderRow, Retained
from hub.domain.folding import fold


class MemoryRetentionList:
    """The port RetentionList: looks at everything, so that a page is short only at the end."""

    def __init__(self, views: MemoryViews) -> None:
        self._views = views

    def due(
        self, policies: Sequence[Retained], at: datetime, after: UUID | None, limit: int
    ) -> tuple[Sequence[DocumentRow], UUID | None]:
        """Documents past their time by rising exchange id, and after which to go on, or None."""
        rows = list(self._views.rows())
        ordered = {
            row.exchange_id
            for row in rows
            if isinstance(row, OrderRow) and row.approved_by is None and row.lapses_at >= at
        }
        found = [
            row
            for row in rows
            if isinstance(row, DocumentRow)
            and (after is None or row.exchange_id > after)
            and row.exchange_id not in ordered
            and not row.erased
            and _is_past(row, policies)
        ]
        found.sort(key=lambda row: row.exchange_id)
        more = len(found) > limit
        return found[:limit], found[limit - 1].exchange_id if more else None


def _is_past(row: DocumentRow, policies: Sequence[Retained]) -> bool:
    own = {fold(row.type_name), fold(row.type_code)}
    speaking = [policy for policy in policies if policy.kind in own]
    return bool(speaking) and all(row.accepted_at < each.accepted_before for each in speaking)
