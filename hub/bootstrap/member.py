"""A hub among others: hears of them, serves what the leader publishes, and leads when it must."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

import structlog

from adapters.storage.engine import Database
from adapters.storage.leadership import BEAT_S
from adapters.storage.listening import Listening
from hub.application.ports import Seen, Signer
from hub.bootstrap.joining import Company, Freshness
from hub.errors import LedgerMismatch
from hub.ledger.batch import BatchEngine
from hub.ledger.covering import Covering
from hub.ledger.following import Following
from hub.ledger.receipts import ReceiptBook
from hub.ledger.writer import WritingLane

_logger = structlog.get_logger("hub")

# A checkpoint that is waited for longer than a hub takes to be followed is not coming.
_COVERED_LATE_S = 5.0
# A hub that has not seen the others for so long does not know what it says.
_SEEN_LATE_S = 3.0


class Member:
    """One of several hubs. `start` and the coroutines belong to the event loop."""

    def __init__(
        self,
        company: Company,
        following: Following,
        database: Database,
        *,
        engine: BatchEngine,
        lane: WritingLane,
        covering: Covering,
        receipts: ReceiptBook,
        signer: Signer,
        followed: Callable[[], None],
    ) -> None:
        """`followed` tells whoever reads the lists that there is more in them."""
        self._company = company
        self._following = following
        self._engine = engine
        self._lane = lane
        self._covering = covering
        self._receipts = receipts
        self._signer = signer
        self._followed = followed
        self._loop = asyncio.get_running_loop()
        self._listening = Listening(database, self.look)
        self._campaign = ThreadPoolExecutor(1, "campaign")
        self._seen_at = time.monotonic()
        self._views = -1
        self.fresh = Freshness(self.look)

    def start(self) -> None:
        """Begin to listen to the others."""
        self._listening.start()

    def stop(self) -> None:
        """Listen to nobody any more."""
        self._listening.stop()
        self.fresh.close()
        self._campaign.shutdown()

    @property
    def is_well(self) -> bool:
        """Whether what is committed here is covered soon, and the others are seen."""
        return (
            self._covering.oldest_s < _COVERED_LATE_S
            and time.monotonic() - self._seen_at < _SEEN_LATE_S
        )

    def look(self) -> None:
        """See what the others have done, and act on it. Any thread; raises OSError."""
        size = self._receipts.size
        try:
            seen = self._following.look()
        except LedgerMismatch as mismatch:
            # What was seen before may still be read.
            if self._engine.frozen is None:
                self._engine.freeze(mismatch)
            seen = None
        self._seen_at = time.monotonic()
        self._company.repeat()
        if seen is not None:
            self._act_on(seen, grown=self._receipts.size > size)

    def _act_on(self, seen: Seen, *, grown: bool) -> None:
        if seen.frozen is not None and self._engine.frozen is None:
            self._engine.freeze(LedgerMismatch(seen.frozen, position=seen.frozen_position))
        self._engine.notice(seen.next_position)
        self._loop.call_soon_threadsafe(self._lane.nudge)
        if self._engine.leads:
            return  # Its own lane publishes, and tells.
        if grown:
            self._covering.published()
        if grown or seen.views != self._views:
            self._views = seen.views
            self._followed()

    async def lead_when_possible(self, take_over: Callable[[], Awaitable[None]]) -> None:
        """Wait until no other hub gives signs; then lead."""
        while not self._company.leads:
            await asyncio.sleep(BEAT_S)
            try:
                taken = await self._loop.run_in_executor(self._campaign, self._take)
            except Exception as error:  # Whatever it is, this hub may be the one that is needed.
                _logger.warning("nobody can be asked who leads", error=str(error))
            else:
                if taken:
                    _logger.warning("this hub leads now")
                    await take_over()

    def _take(self) -> bool:
        published, last = self._receipts.size, self._signer.last
        if last is None or last.size < published:
            _logger.error(
                "the signer remembers less than is published: this hub cannot lead",
                published=published,
                signed=last and last.size,
            )
            return False
        return self._company.take()
