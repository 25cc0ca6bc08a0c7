"""Accepting documents on PostgreSQL: one hub beside two that serve together, under one load."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Self

from hub.v1 import exchange_service_pb2 as calls
from tests.bench.figures import Figure, Measure, interleaved, ratios
from tests.bench.machine import processor_s
from tests.bench.place import RECIPIENT, SENDER, Place
from tests.bench.sayings import requests_of, submissions
from tests.bench.writing import A_MESSAGE, SUBMIT_MANY, Ask, all_asked
from tests.support import postgres
from tests.support.hubs import Founded, HubProcess, Speaker, raw_channel, raw_method
from tests.support.several import several

PART = "hubs"
_MESSAGES_WAITING = 8
_EACH = "documents/s"


async def measured(place: Place) -> list[Figure]:
    """All figures of this part; none without a PostgreSQL."""
    async with AsyncExitStack() as stack:
        try:
            server = stack.enter_context(postgres.serving(synced=True))
        except postgres.Unavailable:
            return []
        alone = place.new_hub_on(server, "alone")
        one = await stack.enter_async_context(HubProcess(alone))
        both = await stack.enter_async_context(several(place.new_hub_on(server, "together"), 2))
        loads = {
            "one": await _Load.begun(stack, alone, [one]),
            "other": await _Load.begun(stack, both.founded, both.hubs, first=1),
            "both": await _Load.begun(stack, both.founded, both.hubs),
        }
        scale = place.scale
        measures: dict[str, Measure] = {
            name: lambda load=load: load.rate(scale.documents) for name, load in loads.items()
        }
        values = await interleaved(measures, rounds=scale.rounds, seconds=scale.seconds)
    busiest = {name: load.a_core[-len(values[name]) :] for name, load in loads.items()}
    return [
        Figure(PART, "accepted on PostgreSQL by 1 hub, 32 a message", _EACH, values["one"]),
        Figure(PART, "by the one of 2 hubs that does not lead", _EACH, values["other"]),
        Figure(PART, "by 2 hubs that serve together", _EACH, values["both"]),
        Figure(PART, "2 hubs ÷ 1 hub", "×", ratios(values["both"], values["one"]), at_least=1.0),
        Figure(PART, "a second of processor of 1 hub", _EACH, busiest["one"]),
        Figure(PART, "of the busier of 2, both asked", _EACH, busiest["both"]),
        Figure(PART, "of the busier of 2, the other asked", _EACH, busiest["other"]),
    ]


@dataclass(frozen=True)
class _Load:
    """One agency that deals out its messages among some of the hubs of a log."""

    sender: Speaker
    asks: Sequence[Ask]
    pids: Sequence[int]
    a_core: list[float] = field(default_factory=list)

    @classmethod
    async def begun(
        cls,
        stack: AsyncExitStack,
        founded: Founded,
        hubs: Sequence[HubProcess],
        first: int = 0,
    ) -> Self:
        """Connected to the hubs from the `first` on; the one before them leads."""
        sender = founded.speakers[SENDER]
        channels = [
            await stack.enter_async_context(raw_channel(sender.transport, hub.port))
            for hub in hubs[first:]
        ]
        asks = [raw_method(channel, SUBMIT_MANY) for channel in channels]
        return cls(sender, asks, [hub.pid for hub in hubs])

    async def rate(self, count: int) -> float:
        """Documents a second; what the busiest hub's processor would allow is kept beside it."""
        messages = requests_of(submissions(self.sender, RECIPIENT, count), A_MESSAGE)
        answers: list[bytes] = []
        before = [processor_s(pid) for pid in self.pids]
        waiting, step = _MESSAGES_WAITING // len(self.asks), len(self.asks)
        taken = await asyncio.gather(
            *(
                all_asked(ask, messages[n::step], waiting, answers)
                for n, ask in enumerate(self.asks)
            )
        )
        after = [processor_s(pid) for pid in self.pids]
        self.a_core.append(count / max(b - a for a, b in zip(before, after, strict=True)))
        for answer in answers:
            for result in calls.SubmitDocumentsResponse.FromString(answer).results:
                if not result.HasField("acceptance"):
                    raise RuntimeError(f"a document was refused: {result}")
        return count / max(taken)
