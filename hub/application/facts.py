"""Where in the log the facts about one document stand: what evidence of it is made of."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from hub.application.audit import TOPICS_ABOUT_KEYS
from hub.application.commands import unknown_exchange
from hub.application.lane import Receipts
from hub.application.mapper import read_event
from hub.application.offload import Offloader
from hub.application.parties import parties_of
from hub.application.ports import EventLog, Views
from hub.application.registry import Registry
from hub.domain.delivery import delivery_id


class Facts:
    """Positions of what a checkpoint covers, for those it concerns, and their successors."""

    def __init__(
        self,
        *,
        log: EventLog,
        views: Views,
        receipts: Receipts,
        registry: Callable[[], Registry],
        offload: Offloader,
    ) -> None:
        self._log = log
        self._views = views
        self._receipts = receipts
        self._registry = registry
        self._offload = offload

    async def of_exchange(
        self, agency: str, exchange_id: UUID, *, after: int, limit: int
    ) -> list[int]:
        """The first positions beyond `after` of events about an exchange, rising.

        Raises ExchangeUnknown for one the agency takes no part in.
        """
        return await self._offload(lambda: self._of_exchange(agency, exchange_id, after, limit))

    async def of_keys(self) -> list[int]:
        """Where the events about the log itself and its keys stand, rising."""
        return await self._offload(self._of_keys)

    def _of_exchange(self, agency: str, exchange_id: UUID, after: int, limit: int) -> list[int]:
        mine = self._registry().represented(agency)
        document = self._views.document(exchange_id)
        deliveries = self._views.deliveries(exchange_id)
        if document is None:
            raise unknown_exchange()
        if document.sender not in mine:
            deliveries = [row for row in deliveries if row.recipient in mine]
        if not deliveries:
            raise unknown_exchange()
        histories = [delivery_id(exchange_id, row.recipient) for row in deliveries]
        found: list[int] = []
        start = after + 1
        while entries := self._log.entries_of([exchange_id, *histories], start, limit):
            for entry in entries:
                if entry.position >= self._receipts.size or len(found) == limit:
                    return found
                # Exactly what a receipt is given for, so that whoever lists can also fetch.
                if not parties_of(read_event(entry.state)).isdisjoint(mine):
                    found.append(entry.position)
            start = entries[-1].position + 1
        return found

    def _of_keys(self) -> list[int]:
        # The log opens with its name, which decides nothing about who may do what.
        keys = (each.position for each in self._log.registry_entries(topics=TOPICS_ABOUT_KEYS))
        return [0, *(position for position in keys if 0 < position < self._receipts.size)]
