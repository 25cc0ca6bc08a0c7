"""One lane: waiting commands → one batch → one commit → one checkpoint → receipts.

While a batch is in its commit the next one fills: no timer, no delay for a lone caller.
Callers wait in queues of their own and are served in turn.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from hub.application.lane import Command, Recorded
from hub.errors import Unavailable
from hub.ledger.batch import At, BatchEngine, Outcome
from hub.ledger.covering import Covering
from hub.ledger.fair_queue import FairQueue, Limits

BATCH_MAX = 256
# How soon a batch that was committed but not signed is tried again without being asked.
_CATCH_UP_S = 1.0

T = TypeVar("T")

# The last one is when it came.
_Waiting = tuple[Command, "asyncio.Future[Recorded]", float]


class WritingLane:
    """Takes commands in on the event loop, has them decided on a thread of its own."""

    def __init__(
        self,
        engine: BatchEngine,
        *,
        batch_max: int = BATCH_MAX,
        limits: Limits | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        covering: Covering | None = None,
        waited: Callable[[float], None] = lambda since: None,
    ) -> None:
        """`covering` waits for the leader's checkpoints, where another hub may lead. `waited`
        hears of each batch since when, by `perf_counter`, its oldest has waited.
        """
        self._engine = engine
        self._covering = covering
        self._batch_max = batch_max
        self._waited = waited
        self._waiting: FairQueue[_Waiting] = FairQueue(limits or Limits(), monotonic)
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
        if self._covering is not None:
            await self._covering.finish()
        self._thread.shutdown()

    def nudge(self) -> None:
        """Another hub has appended events. Called on the event loop."""
        self._wake.set()

    async def run(self, work: Callable[[], T]) -> T:
        """Do something on the lane's thread, between two batches."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def waiting(self) -> dict[str, int]:
        """How many commands of each caller wait; those of the hub itself under an empty name."""
        return self._waiting.waiting()

    async def do(self, command: Command) -> Recorded:
        """The receipt of what the command recorded, now or when it first came.

        A caller that goes away does not undo its command: the fact stands, and the same
        request id finds it.
        """
        if self._closing:
            raise Unavailable("the hub is shutting down; repeat the very same call")
        future: asyncio.Future[Recorded] = asyncio.get_running_loop().create_future()
        # The hub's own commands have no request; they share one queue.
        caller = command.request.caller if command.request else ""
        self._waiting.put(caller, (command, future, time.perf_counter()))
        self._wake.set()
        return await future

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while not (self._closing and not self._waiting):
            await self._until_woken()
            batch = self._waiting.take(self._batch_max)
            if not batch and not (self._engine.behind or self._engine.moved):
                continue
            commands = [command for command, _, _ in batch]
            if batch:
                self._waited(min(each[2] for each in batch))
            outcomes = await loop.run_in_executor(self._thread, self._process, commands)
            await self._answer([future for _, future, _ in batch], outcomes)

    async def _answer(
        self, futures: Sequence[asyncio.Future[Recorded]], outcomes: Sequence[Outcome]
    ) -> None:
        committed = {}
        for future, outcome in zip(futures, outcomes, strict=True):
            if isinstance(outcome, At):
                committed[future] = outcome.position
            else:
                _resolve(future, outcome)
        if committed and self._covering is not None:
            # The next batch is not kept waiting by the leader, unless too many are.
            await self._covering.answer(committed)

    async def _until_woken(self) -> None:
        if self._waiting or self._engine.moved:
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


def _resolve(future: asyncio.Future[Recorded], outcome: Recorded | Exception) -> None:
    if future.done():
        return  # The caller has gone.
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
