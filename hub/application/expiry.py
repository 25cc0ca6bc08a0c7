"""Documents that were not collected by the sender's limit."""

from __future__ import annotations

from datetime import datetime

from hub.application.commands import ExpireDelivery
from hub.application.lane import Lane, NothingRecorded
from hub.application.offload import Offloader
from hub.application.ports import DeliveryRow, Views

_AT_ONCE = 200


async def expire_overdue(views: Views, lane: Lane, offload: Offloader, *, at: datetime) -> int:
    """Record `DeliveryExpired` for every delivery whose limit has passed; how many it were.

    The lane decides again for each: a document collected in the meantime does not expire. One
    that fails does not hold up the others; afterwards the first failure is raised.
    """
    expired = 0
    failures: list[Exception] = []
    while rows := await offload(lambda: views.overdue(at, _AT_ONCE)):
        before = expired
        for row in rows:
            try:
                expired += await _expire(row, lane)
            except Exception as error:
                failures.append(error)
        # No progress: the lists are behind the log, and the next round sees them caught up.
        if failures or expired == before:
            break
    if failures:
        raise failures[0]
    return expired


async def _expire(row: DeliveryRow, lane: Lane) -> bool:
    if row.expires_at is None:
        return False
    try:
        await lane.do(ExpireDelivery(row.exchange_id, row.recipient, row.expires_at))
    except NothingRecorded:
        return False
    return True
