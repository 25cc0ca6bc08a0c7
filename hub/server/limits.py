"""How much of the hub one caller may hold open, and for how long one that does not read."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc
import structlog

from hub.errors import Overloaded
from hub.server.errors import DETAILS_KEY, STATUS_OF, status_details, status_message

_logger = structlog.get_logger("hub.access")
_RETRY_AFTER_MS = 1000


class OpenCalls:
    """Counts the calls that each caller has open, streams included; on the loop alone."""

    def __init__(self, per_caller: int) -> None:
        self._per_caller = per_caller
        self._open: Counter[str] = Counter()

    @contextmanager
    def counted(self, caller: str) -> Iterator[None]:
        """One call, for as long as the block runs. Raises Overloaded."""
        if self._open[caller] >= self._per_caller:
            raise Overloaded(
                f"at most {self._per_caller} calls of one caller are open at once; end some",
                retry_after_ms=str(_RETRY_AFTER_MS),
            )
        self._open[caller] += 1
        try:
            yield
        finally:
            self._open[caller] -= 1
            if not self._open[caller]:
                del self._open[caller]


class Patience:
    """Ends streams whose reader takes nothing for too long.

    What it has not read yet is bounded by HTTP/2's flow control (RFC 9113, 5.2), and nothing more
    is made for it; but a stream that is never read would stay for ever.
    """

    def __init__(self, stall_s: float) -> None:
        self._stall_s = stall_s
        self._ending: set[asyncio.Task[None]] = set()

    @contextmanager
    def sending(self, context: Any, method: str) -> Iterator[None]:
        """The block gives one message to the reader."""
        give_up = partial(self._give_up, context, method, asyncio.current_task())
        timer = asyncio.get_running_loop().call_later(self._stall_s, give_up)
        try:
            yield
        finally:
            timer.cancel()

    def _give_up(self, context: Any, method: str, task: asyncio.Task[Any] | None) -> None:
        _logger.warning("a stream was not read and is ended", method=method, stall_s=self._stall_s)
        loop = asyncio.get_running_loop()
        ending = loop.create_task(self._end(context))
        self._ending.add(ending)  # The loop itself holds tasks only weakly.
        ending.add_done_callback(self._ending.discard)
        # Once the answer is on its way: a call whose method is cancelled before has none.
        if task is not None:
            loop.call_soon(task.cancel)

    async def _end(self, context: Any) -> None:
        error = Overloaded(
            f"nothing of this stream was read for {self._stall_s:g} seconds; open it again from "
            "where you are",
            retry_after_ms=str(_RETRY_AFTER_MS),
        )
        trailing = ((DETAILS_KEY, status_details(error)),)
        with suppress(grpc.aio.AbortError):
            await context.abort(STATUS_OF[type(error)], status_message(error), trailing)


@dataclass(frozen=True, slots=True)
class Limits:
    """Both."""

    calls: OpenCalls
    patience: Patience
