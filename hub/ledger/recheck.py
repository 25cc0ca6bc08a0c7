"""Reading again, beside the hub's work, what its start took for whole."""

from __future__ import annotations

import time
from collections.abc import Callable

from hub.application.ports import EventLog, TreeStore
from hub.errors import LedgerMismatch
from hub.ledger.batch import BatchEngine
from hub.ledger.known import KnownGood
from hub.ledger.sequencer import check_events

# Half of the time is left to those who are served: reading competes with them for one processor.
_PAUSE_SHARE = 1.0


class Recheck:
    """Finds what the start would have found, had it read everything. Used by one thread.

    What is found freezes the log, and removes the mark: the next start reads everything, and
    refuses to serve.
    """

    def __init__(
        self,
        log: EventLog,
        store: TreeStore,
        engine: BatchEngine,
        known: KnownGood,
        *,
        every_events: int,
        stopping: Callable[[float], bool],
    ) -> None:
        """`stopping` waits so many seconds, or less when it is to stop, and says whether it is.

        `every_events` is how many new ones are let come together before they are read.
        """
        self._log = log
        self._store = store
        self._engine = engine
        self._known = known
        self._every_events = every_events
        self._stopping = stopping
        self._done_below = 0

    def run(self, covered: int) -> int:
        """Read what the start did not, then what is new below `covered`; how many events.

        Raises Stopped, and whatever storage raises: then the same again reads it again.
        """
        unread = self._engine.unread
        read = self._check(self._done_below, unread)
        self._done_below = max(self._done_below, unread)
        known = self._known.size
        if covered - known >= max(1, self._every_events) and self._engine.frozen is None:
            read += self._check(known, covered)
            if self._engine.frozen is None:
                self._known.note(covered)
        return read

    def _check(self, start: int, end: int) -> int:
        try:
            if start < end:
                check_events(self._log, self._store, end, start=start, pause=self._pacing())
        except LedgerMismatch as mismatch:
            self._known.forget()
            self._engine.freeze(mismatch)
        return max(0, end - start)

    def _pacing(self) -> Callable[[], None]:
        began = time.perf_counter()

        def pause() -> None:
            nonlocal began
            if self._stopping((time.perf_counter() - began) * _PAUSE_SHARE):
                raise Stopped
            began = time.perf_counter()

        return pause


class Stopped(Exception):
    """The hub stops; what was not read is read after the next start."""
