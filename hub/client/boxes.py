"""An inbox or an outbox: lines numbered without a gap, read page by page or as they come."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import grpc
import grpc.aio

from hub.client.answers import InboxItem, OutboxItem
from hub.client.errors import InboxGap, OutboxGap, SequenceGap, UnexpectedAnswer, error_of
from hub.client.line import Line
from hub.client.retry import RetryPolicy, is_repeatable
from hub.v1 import exchange_pb2 as wire
from hub.v1 import exchange_service_pb2 as calls

PAGE_SIZE = 100

M = TypeVar("M")
M_co = TypeVar("M_co", covariant=True)
T = TypeVar("T")


class _Page(Protocol[M_co]):
    @property
    def items(self) -> Sequence[M_co]: ...

    @property
    def more(self) -> bool: ...


class _News(Protocol[M_co]):
    @property
    def item(self) -> M_co: ...


class _Stream(Protocol[M_co]):
    def __aiter__(self) -> AsyncIterator[_News[M_co]]: ...

    def cancel(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Box(Generic[M, T]):
    """What an inbox and an outbox have in common; `M` is a line on the wire, `T` its meaning.

    `page` and `stream` ask for the lines after a number. `number_of` and `item_of` read one;
    `gap` is raised when the numbers do not follow each other.
    """

    policy: RetryPolicy
    page: Callable[[int], Awaitable[_Page[M]]]
    stream: Callable[[int], _Stream[M]]
    number_of: Callable[[M], int]
    item_of: Callable[[M], T]
    gap: type[SequenceGap]

    async def read(self, after: int) -> AsyncIterator[T]:
        """Every line with a larger number than `after`, in order, page by page."""
        more = True
        while more:
            page = await self.page(after)
            if page.more and not page.items:
                raise UnexpectedAnswer(f"an empty page of the {self.gap.BOX} that is not the last")
            for message in page.items:
                after = self._following(message, after)
                yield self.item_of(message)
            more = page.more

    async def watch(self, after: int) -> AsyncIterator[T]:
        """The lines after number `after`, then each new one as it comes, over any breaks."""
        attempt = 0
        while True:
            failure = None
            try:
                async with aclosing(self._watch_once(after)) as messages:
                    async for message in messages:
                        after, attempt = self._following(message, after), 0
                        yield self.item_of(message)
            except grpc.RpcError as broken:
                failure = broken
                error = error_of(broken)
                if not is_repeatable(error):
                    raise error from broken
                if broken.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                    attempt = 0  # Our own deadline: a quiet box is no failure.
            await self.policy.pause(attempt, failure)
            attempt += 1

    async def _watch_once(self, after: int) -> AsyncGenerator[M]:
        stream = self.stream(after)
        try:
            async for response in stream:
                yield response.item
        finally:
            stream.cancel()

    def _following(self, message: M, after: int) -> int:
        """The number of a line, which must be the next one."""
        found = self.number_of(message)
        if found != after + 1:
            raise self.gap(after=after, found=found)
        return found


def inbox_of(line: Line, agency: str = "") -> Box[wire.InboxItem, InboxItem]:
    """The inbox of whoever is at this end of the line, or of an agency that it succeeded."""

    async def page(after: int) -> calls.ListInboxResponse:
        request = calls.ListInboxRequest(after=after, page_size=PAGE_SIZE, agency=agency)
        return await line.call(line.exchange.ListInbox, request)

    def stream(
        after: int,
    ) -> grpc.aio.UnaryStreamCall[calls.WatchInboxRequest, calls.WatchInboxResponse]:
        request = calls.WatchInboxRequest(after=after, agency=agency)
        return line.exchange.WatchInbox(request, timeout=line.policy.stream_deadline_s)

    return Box(
        policy=line.policy,
        page=page,
        stream=stream,
        number_of=lambda item: item.inbox_seq,
        item_of=InboxItem.of,
        gap=InboxGap,
    )


def outbox_of(line: Line, agency: str = "") -> Box[wire.OutboxItem, OutboxItem]:
    """The outbox of whoever is at this end of the line, or of an agency that it succeeded."""

    async def page(after: int) -> calls.ListOutboxResponse:
        request = calls.ListOutboxRequest(after=after, page_size=PAGE_SIZE, agency=agency)
        return await line.call(line.exchange.ListOutbox, request)

    def stream(
        after: int,
    ) -> grpc.aio.UnaryStreamCall[calls.WatchOutboxRequest, calls.WatchOutboxResponse]:
        request = calls.WatchOutboxRequest(after=after, agency=agency)
        return line.exchange.WatchOutbox(request, timeout=line.policy.stream_deadline_s)

    return Box(
        policy=line.policy,
        page=page,
        stream=stream,
        number_of=lambda item: item.outbox_seq,
        item_of=OutboxItem.of,
        gap=OutboxGap,
    )
