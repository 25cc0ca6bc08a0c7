"""Content that no event points at: found after a start, in portions, beside everything else.

Whoever stores content before it is recorded, under an id that may be older than this process,
says so by `Sweep.leave`. Exchanges that agencies open have ids of now, which no sweep looks at.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import islice
from uuid import UUID

from hub.application.exchanges import is_kept
from hub.application.ports import ContentStore, EventLog, Lease

_AT_ONCE = 500
_PAUSE_S = 0.25


class Sweep:
    """One sweep, run once; `leave` may be called by any thread, before and meanwhile."""

    def __init__(
        self,
        content: ContentStore,
        log: EventLog,
        lease: Lease,
        *,
        stopping: Callable[[float], bool],
    ) -> None:
        """`stopping` waits for so many seconds, or until it is true that the hub stops."""
        self._content, self._log, self._lease = content, log, lease
        self._stopping = stopping
        self._turn = threading.Lock()
        self._left: set[UUID] | None = set()

    def leave(self, exchange_id: UUID) -> None:
        """Something is stored there from now on: this sweep passes it over.

        Waits while one exchange is discarded. Nothing is remembered once the sweep is over.
        """
        with self._turn:
            if self._left is not None:
                self._left.add(exchange_id)

    def run(self, before: datetime) -> int:
        """Discard what no event points at, written before an instant; how much it was.

        And what was erased by law: single files may have been restored by hand. Ends early where
        the hub stops; whoever runs it again begins anew. Blocks, perhaps for hours: it pauses,
        so that nobody waits for it. Raises NotLeading, OSError.
        """
        limit, swept = int(before.timestamp() * 1000), 0
        old = (each for each in self._content.exchanges() if _time_in(each) < limit)
        while some := list(islice(old, _AT_ONCE)):
            swept += self._discard([each for each in some if not is_kept(self._log, each)])
            if len(some) == _AT_ONCE and self._stopping(_PAUSE_S):
                return swept
        with self._turn:
            self._left = None
        return swept

    def _discard(self, orphans: Sequence[UUID]) -> int:
        return sum(map(self._discard_one, orphans))

    def _discard_one(self, exchange_id: UUID) -> bool:
        # A hub that stood still would discard what another one is about to record.
        self._lease.left()
        with self._turn:
            if self._left is None or exchange_id in self._left:
                return False
            self._content.discard(exchange_id)
        return True


def _time_in(exchange_id: UUID) -> int:
    """Milliseconds since 1970, as in a UUIDv7, and in what is derived from one."""
    return int.from_bytes(exchange_id.bytes[:6], "big")
