"""What an agency waits for while the queue of another is full."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from statistics import median

from hub.v1 import exchange_service_pb2 as calls
from tests.bench.figures import Figure, Measure, interleaved
from tests.bench.place import RECIPIENT, SENDER, Place, sender_and_recipient
from tests.bench.sayings import request_of, requests_of, submissions
from tests.bench.writing import A_MESSAGE, SUBMIT, SUBMIT_MANY, Ask, waits
from tests.support.hubs import Speaker, raw_channel, raw_method

PART = "fairness"


async def measured(place: Place) -> list[Figure]:
    """The waits of an agency that sends one document at a time, without and with a busy one."""
    scale = place.scale
    hub, port = await place.served()
    busy, quiet = sender_and_recipient(hub)
    refused: list[float] = []
    async with AsyncExitStack() as stack:
        theirs = await stack.enter_async_context(raw_channel(busy.transport, port))
        ours = await stack.enter_async_context(raw_channel(quiet.transport, port))
        ask, flood = (
            raw_method(ours, SUBMIT),
            _Flood(busy, raw_method(theirs, SUBMIT_MANY), scale.busy),
        )
        middles: dict[str, list[float]] = {"alone": [], "beside": []}

        async def alone() -> float:
            return _p99(await waits(ask, _letters(quiet, scale.waits)), middles["alone"])

        async def beside() -> float:
            letters = _letters(quiet, scale.waits)
            async with flood.running():
                figure = _p99(await waits(ask, letters), middles["beside"])
            refused.append(float(flood.refused))
            return figure

        measures: dict[str, Measure] = {"alone": alone, "beside": beside}
        rounds = min(scale.rounds, 3)
        values = await interleaved(measures, rounds=rounds, seconds=scale.seconds)
    return [
        Figure(PART, "another's command, median, nobody else", "ms", middles["alone"]),
        Figure(PART, "another's command, p99, nobody else", "ms", values["alone"]),
        Figure(PART, "another's command, median, one queue full", "ms", middles["beside"]),
        Figure(PART, "another's command, p99, one queue full", "ms", values["beside"]),
        Figure(PART, "told OVERLOADED meanwhile, the busy one", "documents", refused),
    ]


class _Flood:
    """An agency that keeps its queue full: more of its documents wait than queue and batch hold."""

    def __init__(self, busy: Speaker, ask: Ask, messages: int) -> None:
        self._busy = busy
        self._ask = ask
        self._messages = messages
        self.refused = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Begins once the first documents are answered; by then as many wait as can."""
        self.refused = 0
        answered = asyncio.Event()
        tasks = [asyncio.create_task(self._caller(answered)) for _ in range(self._messages)]
        await answered.wait()
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _caller(self, answered: asyncio.Event) -> None:
        try:
            while True:
                (message,) = requests_of(submissions(self._busy, RECIPIENT, A_MESSAGE), A_MESSAGE)
                answer = calls.SubmitDocumentsResponse.FromString(await self._ask(message))
                self.refused += sum(not one.HasField("acceptance") for one in answer.results)
                answered.set()
        finally:
            answered.set()  # Whatever ends it: nobody waits for ever.


def _letters(speaker: Speaker, count: int) -> list[bytes]:
    return [request_of(each) for each in submissions(speaker, SENDER, count)]


def _p99(taken: Sequence[float], middles: list[float]) -> float:
    middles.append(median(taken))
    return sorted(taken)[int(len(taken) * 0.99)]
