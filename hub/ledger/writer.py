"""One lane: waiting commands → one batch → one commit → one checkpoint → receipts.

While a batch is in its commit the next one fills: no timer, no delay for a lone caller.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from hub.application.lane import Command, Recorded
from hub.errors import Overloaded, Unavailable
from hub.ledger.batch import BatchEngine, Outcome

BATCH_MAX = 256
QUEUE_MAX = 4096
_RETRY_AFTER_MS = 1000
# How soon a batch that was committed but not signed is tried again without being asked.
_CATCH_UP_S = 1.0

_Waiting = tuple[Command, "asyncio.Future[Recorded]"]


class WritingLane:
    """Takes commands in on the event loop, has them decided on a thread of its own."""

    def __init__(
        self, engine: BatchEngine, *, batch_max: int = BATCH_MAX, queue_max: int = QUEUE_MAX
    ) -> None:
        self._engine = engine
        self._batch_max = batch_max
        self._queue_max = queue_max
        self._waiting: deque[_Waiting] = deque()
        self._wake = asyncio.Event()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="lane")
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    def start(self) -> None:
        """Begin to work; must be called on the event loop."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="writing lane")

    async def stop(self) -> None:
        """Take nothing more in, finish what waits, and end."""
        self._closing = True
        self._wake.set()
        if self._task:
            await self._task
        self._thread.shutdown()

    async def do(self, command: Command) -> Recorded:
        """The receipt of what the command recorded, now or when it first came.

        A caller that goes away does not undo its command: the fact stands, and the same
        request id finds it.
        """
        if self._closing:
            raise Unavailable("the hub is shutting down; repeat the very same call")
        if len(self._waiting) >= self._queue_max:
            raise Overloaded(
                "too many commands are waiting; come back later",
                retry_after_ms=str(_RETRY_AFTER_MS),
            )
        future: asyncio.Future[Recorded] = asyncio.get_running_loop().create_future()
        self._waiting.append((command, future))
        self._wake.set()
        return await future

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while not (self._closing and not self._waiting):
            await self._until_woken()
            batch = [
                self._waiting.popleft() for _ in range(min(self._batch_max, len(self._waiting)))
            ]
            if not batch and not self._engine.behind:
                continue
            commands = [command for command, _ in batch]
            outcomes = await loop.run_in_executor(self._thread, self._process, commands)
            for (_, future), outcome in zip(batch, outcomes, strict=True):
                _resolve(future, outcome)

    async def _until_woken(self) -> None:
        if self._waiting:
            return
        self._wake.clear()
        try:
            async with asyncio.timeout(_CATCH_UP_S if self._engine.behind else None):
                await self._wake.wait()
        except TimeoutError:
            pass

    def _process(self, commands: Sequence[Command]) -> Sequence[Outcome]:
        try:
            return self._engine.process(commands)
        except Exception as error:  # A bug of ours: the callers hear it, the lane lives on.
            return [error] * len(commands)


def _resolve(future: asyncio.Future[Recorded], outcome: Outcome) -> None:
    if future.done():
        return  # The caller has gone.
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
