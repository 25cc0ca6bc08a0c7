"""Inbox pages, document lists and news, over logs of two sizes served side by side."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from statistics import median
from typing import Any

from hub.v1 import exchange_service_pb2 as calls
from hub.v1 import lists_pb2
from hub.v1.exchange_service_pb2_grpc import ExchangeServiceStub
from tests.bench.figures import Figure, Measure, interleaved, ratios
from tests.bench.machine import processor_s
from tests.bench.place import RECIPIENT, Place, sender_and_recipient
from tests.bench.sayings import submissions
from tests.support import postgres
from tests.support.hubs import Founded, HubProcess, raw_stub, refusal_of

PART = "pages"
_PAGE = 100
# The larger log must not be slower than this.
_SAME_WITHIN = 1.2
_FEWEST = 1_000
# From the command to the port, however long the log is.
_START_S = 5.0
_REST_DEADLINE_S = 900.0
# A hub that serves nobody uses less than this of a second.
_IDLE, _QUIET_S = 0.2, 3


async def measured(place: Place) -> list[Figure]:
    """The median wait of each kind of page at each size, and one divided by the other."""
    scale = place.scale
    async with AsyncExitStack() as stack:
        sizes = [await _Size.opened(stack, place, hub) for hub in _hubs(place, stack)]
        measures: dict[str, Measure] = {}
        for size in sizes:
            measures |= {f"{name}/{size.items}": each for name, each in size.measures().items()}
        values = await interleaved(measures, rounds=scale.rounds, seconds=scale.seconds)
    figures = []
    for name in sizes[0].measures():
        for size in sizes:
            label = f"{name}, {size.items:,} items"
            taken = values[f"{name}/{size.items}"]
            figures.append(Figure(PART, label, "ms", taken, a_core=size.a_core.get(name, ())))
        large, small = (values[f"{name}/{size.items}"] for size in (sizes[-1], sizes[0]))
        label = f"{name}, most ÷ fewest items"
        figures.append(Figure(PART, label, "×", ratios(large, small), at_most=_SAME_WITHIN))
    return [*(size.started for size in sizes), *figures]


def _hubs(place: Place, stack: AsyncExitStack) -> list[Founded]:
    """Those whose logs are read; or two whose inboxes were written straight."""
    scale = place.scale
    if not scale.items:
        return place.grown()
    server = stack.enter_context(postgres.serving(synced=True)) if scale.on_server else None
    return [place.filled(items, server) for items in (_FEWEST, scale.items)]


class _Size:
    """One hub being served, and how many documents lie in the inbox that is read."""

    def __init__(
        self,
        place: Place,
        items: int,
        started: Figure,
        process: HubProcess,
        *,
        sending: Any,
        receiving: Any,
        sender: Any,
    ) -> None:
        self.items = items
        self.started = started
        self.a_core: dict[str, list[float]] = {}
        self._process = process
        self._count = place.scale.pages
        self._sending = sending
        self._receiving = receiving
        self._sender = sender
        self._newest = items

    @classmethod
    async def opened(cls, stack: AsyncExitStack, place: Place, hub: Founded) -> _Size:
        sender, recipient = sender_and_recipient(hub)
        begun = time.perf_counter()
        process = await stack.enter_async_context(HubProcess(hub))
        taken = time.perf_counter() - begun
        events, used = place.events(hub), processor_s(process.pid)
        await _at_rest(process)
        started = Figure(
            PART, f"start, {events:,} events", "s", [taken], at_most=_START_S, a_core=[used]
        )
        sending = await stack.enter_async_context(raw_stub(sender.transport, process.port))
        receiving = await stack.enter_async_context(raw_stub(recipient.transport, process.port))
        return cls(
            place,
            await _items(receiving),
            started,
            process,
            sending=sending,
            receiving=receiving,
            sender=sender,
        )

    def measures(self) -> dict[str, Measure]:
        """Each by its name."""
        inbox, received, sent = (
            self._receiving.ListInbox,
            self._receiving.ListReceived,
            self._sending.ListSent,
        )
        words = lists_pb2.DocumentFilter(subject="lien thong van ban")
        nothing = lists_pb2.DocumentFilter(subject="không có chữ này")
        pages: dict[str, Callable[[], Any]] = {
            "first page of the inbox": lambda: inbox(_inbox_request(0)),
            "last page of the inbox": lambda: inbox(_inbox_request(self.items - _PAGE)),
            "newest received": lambda: received(calls.ListReceivedRequest(page_size=_PAGE)),
            "received, by words": lambda: received(
                calls.ListReceivedRequest(page_size=_PAGE, filter=words)
            ),
            "received, words that do not occur": lambda: received(
                calls.ListReceivedRequest(page_size=_PAGE, filter=nothing)
            ),
            "newest sent": lambda: sent(calls.ListSentRequest(page_size=_PAGE)),
        }
        measures: dict[str, Measure] = {
            name: partial(self._median, name, page) for name, page in pages.items()
        }
        return measures | {"from sending to the watcher": self._watched}

    async def _median(self, name: str, page: Callable[[], Any]) -> float:
        taken, used = [], processor_s(self._process.pid)
        for _ in range(self._count):
            begun = time.perf_counter()
            await page()
            taken.append((time.perf_counter() - begun) * 1000)
        used = processor_s(self._process.pid) - used
        self.a_core.setdefault(name, []).append(used / self._count * 1000)
        return median(taken)

    async def _watched(self) -> float:
        """From the call of a lone sender until the recipient's open stream has the item."""
        letters = submissions(self._sender, RECIPIENT, self._count)
        taken = []
        stream = self._receiving.WatchInbox(calls.WatchInboxRequest(after=self._newest))
        try:
            for letter in letters:
                begun = time.perf_counter()
                request = calls.SubmitDocumentRequest(envelope=letter)
                sending = asyncio.ensure_future(self._sending.SubmitDocument(request))
                item = await stream.read()
                taken.append((time.perf_counter() - begun) * 1000)
                self._newest = item.item.inbox_seq
                await sending
        finally:
            stream.cancel()
        return median(taken)


async def _at_rest(process: HubProcess) -> None:
    """Until it has read beside its work what its start did not, which slows what is measured."""
    quiet = 0
    async with asyncio.timeout(_REST_DEADLINE_S):
        while quiet < _QUIET_S:
            before = processor_s(process.pid)
            await asyncio.sleep(1)
            quiet = quiet + 1 if processor_s(process.pid) - before < _IDLE else 0


async def _items(receiving: ExchangeServiceStub) -> int:
    """The last number of an inbox: what is refused beyond it says which it is."""
    refusal = await refusal_of(receiving.ListInbox(_inbox_request(2**62, 1)))
    return int(refusal.metadata["last"])


def _inbox_request(after: int, size: int = _PAGE) -> calls.ListInboxRequest:
    return calls.ListInboxRequest(after=max(0, after), page_size=size)
