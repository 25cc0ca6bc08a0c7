"""Documents that were not collected by the sender's limit."""

from __future__ import annotations

from datetime import datetime

from hub.application.commands import ExpireDelivery
from hub.application.exchanges import Offloader
from hub.application.lane import Lane, NothingRecorded
from hub.application.ports import DeliveryRow, Views

_AT_ONCE = 200


async def expire_overdue(views: Views, lane: Lane, offload: Offloader, *, at: datetime) -> int:
    """Record `DeliveryExpired` for every delivery whose limit has passed; how many it were.

    The lane decides again for each: a document collected in the meantime does not expire.
    """
    expired = 0
    while rows := await offload(lambda: views.overdue(at, _AT_ONCE)):
        recorded = [await _expire(row, lane) for row in rows]
        expired += sum(recorded)
        if not any(recorded):
            break  # The lists are behind the log; the next round sees them caught up.
    return expired


async def _expire(row: DeliveryRow, lane: Lane) -> bool:
    if row.expires_at is None:
        return False
    try:
        await lane.do(ExpireDelivery(row.exchange_id, row.recipient, row.expires_at))
    except NothingRecorded:
        return False
    return True
