"""Callers whose facts are committed, and whose receipts another hub is about to make possible."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence

import structlog

from hub.application.lane import Recorded
from hub.application.offload import Offloader
from hub.errors import ReceiptDelayed

# Longer than it takes another hub to lead, shorter than callers wait (docs/decisions/0033).
COVERED_WITHIN_S = 20.0
# Batches that wait for their checkpoint; the next one waits for them once it is committed, and
# meanwhile another fills. With more of them they would be small, and cost more each.
_BATCHES_MAX = 1

_logger = structlog.get_logger(__name__)


class Covering:
    """Waits for checkpoints above what this hub has committed; then builds the receipts.

    Used on the event loop; `published` by any thread.
    """

    def __init__(
        self,
        *,
        size: Callable[[], int],
        receipts: Callable[[Sequence[int]], Mapping[int, Recorded]],
        offload: Offloader,
        within_s: float = COVERED_WITHIN_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`size` is how far the log is visible here; `receipts` reads those of positions."""
        self._loop = asyncio.get_running_loop()
        self._size = size
        self._receipts = receipts
        self._offload = offload
        self._within_s = within_s
        self._monotonic = monotonic
        self._moved = asyncio.Event()
        self._room = asyncio.Semaphore(_BATCHES_MAX)
        self._waiting: dict[asyncio.Task[None], float] = {}

    @property
    def oldest_s(self) -> float:
        """For how long the oldest batch has waited by now; 0 where none does."""
        return max((self._monotonic() - since for since in self._waiting.values()), default=0.0)

    def published(self) -> None:
        """More of the log became visible here."""
        self._loop.call_soon_threadsafe(self._moved.set)

    async def answer(self, committed: Mapping[asyncio.Future[Recorded], int]) -> None:
        """Answer these callers once the positions are covered; returns while they wait."""
        await self._room.acquire()
        task = self._loop.create_task(self._answer(committed), name="covering")
        self._waiting[task] = self._monotonic()
        task.add_done_callback(self._done)

    async def finish(self) -> None:
        """Wait for those who wait, each within its time."""
        if self._waiting:
            await asyncio.wait(list(self._waiting))

    def _done(self, task: asyncio.Task[None]) -> None:
        self._waiting.pop(task)
        self._room.release()

    async def _answer(self, committed: Mapping[asyncio.Future[Recorded], int]) -> None:
        try:
            async with asyncio.timeout(self._within_s):
                await self._covered(max(committed.values()))
            found = await self._offload(lambda: self._receipts(list(committed.values())))
        except Exception as error:
            if not isinstance(error, TimeoutError):
                _logger.error("receipts could not be made", exc_info=error)
            delayed = ReceiptDelayed("recorded; the receipt follows, repeat the very same call")
            for future in committed:
                if not future.done():
                    future.set_exception(delayed)
            return
        for future, position in committed.items():
            if not future.done():
                future.set_result(found[position])

    async def _covered(self, position: int) -> None:
        while self._size() <= position:
            self._moved.clear()
            # What was published between the two is seen here; later ones wake us.
            if self._size() <= position:
                await self._moved.wait()
