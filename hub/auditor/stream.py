"""A stream of events that checks itself: no gap, no stranger, and one tree with all seen before."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

import grpc

from hub.auditor.ranges import Wanted
from hub.client.client import consistency_of
from hub.client.errors import HubUnreachable, error_of
from hub.client.line import Line
from hub.client.retry import Meaning, given_up, is_repeatable
from hub.client.verification import ReceiptVerifier
from hub.errors import VerificationFailed
from hub.proof.checkpoint import Checkpoint
from hub.proof.frontier import Frontier
from hub.proof.leaf import Event, parse_leaf
from hub.proof.merkle import leaf_hash, verify_consistency, verify_inclusion
from hub.v1 import audit_service_pb2 as calls

Progress = Callable[[int, int, int], None]
"""(first position, position reached, end), as a stream goes on."""


@dataclass(frozen=True, slots=True)
class Logged:
    """An event with its position and its exact bytes."""

    position: int
    leaf: bytes
    event: Event


class EventStream:
    """One replay. Iterate over it once; when that ends without an exception, all is proven.

    Without a filter the root over every leaf from the first position on is recomputed and
    proven to begin the tree of a checkpoint that a trusted key signed, and that agrees with
    all this auditor has seen before: nothing was changed, left out or slipped in. With a
    filter each event is proven to stand where it is said to; that none was left out is then
    the hub's word.

    Raises VerificationFailed, HubUnreachable after the last attempt, and the hub's refusal.
    """

    def __init__(
        self,
        line: Line,
        verifier: ReceiptVerifier,
        wanted: Wanted,
        progress: Progress = lambda first, reached, end: None,
    ) -> None:
        self._line = line
        self._verifier = verifier
        self._wanted = wanted
        self._progress = progress
        self._run = _Run(wanted)

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The newest checkpoint that what came so far was held against."""
        return self._run.checkpoint

    @property
    def range(self) -> tuple[int, int]:
        """The first position and the one before which it ends, once it has begun."""
        return self._run.first, self._run.end

    async def __aiter__(self) -> AsyncIterator[Logged]:
        """Every event that is wanted, by rising position."""
        attempt = 0
        while not self._run.complete:
            begun_at = self._run.position
            try:
                async for logged in self._connection():
                    yield logged
                error: Meaning = HubUnreachable("the stream ended before its end")
                broken = None
            except grpc.RpcError as failure:
                error, broken = error_of(failure), failure
                if not is_repeatable(error):
                    raise error from broken
            if self._run.complete:
                break
            attempt = 0 if self._run.position > begun_at else attempt + 1
            if attempt >= self._line.policy.attempts_max:
                raise given_up(attempt, error) from broken
            await self._line.policy.pause(attempt, broken)
        await self._prove()

    async def _connection(self) -> AsyncIterator[Logged]:
        """What comes over one connection; the run remembers how far it came."""
        run = self._run
        request = self._wanted.request(run.position, run.asked_end)
        call = self._line.audit.StreamEvents(request, timeout=self._line.policy.stream_deadline_s)
        try:
            async for response in call:
                if response.HasField("header"):
                    checkpoint = await self._verifier.advance(response.header.checkpoint)
                    run.begin(response.header, checkpoint)
                for logged in run.take(response):
                    yield logged
                self._progress(run.first, run.position, run.end)
                if run.complete:
                    return
        finally:
            call.cancel()

    async def _prove(self) -> None:
        """Hold all that came against the checkpoint, and the edges against the times asked for."""
        run = self._run
        if run.frontier is not None and run.end > 0 and run.checkpoint is not None:
            older, newer = run.end, run.checkpoint.size
            prove = consistency_of(self._line)
            verify_consistency(
                old_size=older,
                old_root=run.frontier.root(),
                new_size=newer,
                new_root=run.checkpoint.root,
                proof=await prove(older, newer) if older < newer else (),
            )
        await self._prove_edges()

    async def _prove_edges(self) -> None:
        """What lies just outside was recorded too early or too late: times never fall."""
        run, wanted = self._run, self._wanted
        if wanted.start_time is not None and run.first > wanted.start:
            before = await self._event_at(run.first - 1)
            _require(before.event.time < wanted.start_time, "begins too late for its time")
        last = run.checkpoint.size if run.checkpoint and wanted.end is None else wanted.end
        if wanted.end_time is not None and last is not None and run.end < last:
            after = await self._event_at(run.end)
            _require(after.event.time >= wanted.end_time, "ends too early for its time")

    async def _event_at(self, position: int) -> Logged:
        wanted = Wanted(start=position, end=position + 1)
        found = [logged async for logged in EventStream(self._line, self._verifier, wanted)]
        return found[0]


class _Run:
    """How far a replay came, over any number of connections."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._begun = False
        self._connected = False
        self.asked_end = wanted.end
        self.position = wanted.start
        self.first = wanted.start
        self.end = wanted.start
        self.checkpoint: Checkpoint | None = None
        self.frontier: Frontier | None = None

    @property
    def complete(self) -> bool:
        """Whether everything up to the end was looked at."""
        return self._begun and self.position == self.end

    def begin(self, header: calls.EventsHeader, checkpoint: Checkpoint) -> None:
        """Take a connection's first message, once its checkpoint is verified."""
        _require(header.end <= checkpoint.size, "goes beyond its checkpoint")
        _require(header.filtered == self._wanted.filtered, "is filtered otherwise than asked for")
        self.checkpoint, self._connected = checkpoint, True
        if self._begun:
            same = header.start == self.position and header.end == self.end
            return _require(same, "went on elsewhere than where it broke off")
        within = self._wanted.start <= header.start <= header.end
        _require(within and self._fits_ends(header, checkpoint), "is of another range")
        if not self._wanted.filtered:
            self.frontier = Frontier(header.start, header.frontier)
        self.first = self.position = header.start
        self.end = self.asked_end = header.end
        self._begun = True
        return None

    def take(self, response: calls.StreamEventsResponse) -> Iterator[Logged]:
        """The events of one message, each checked as far as it can be by itself."""
        _require(self._begun and self._connected, "began without its header")
        reached = response.next_position
        _require(self.position <= reached <= self.end, "ran backwards or beyond its end")
        for item in response.events:
            yield self._checked(item, reached)
        _require(self.frontier is None or self.position == reached, "left an event out")
        self.position = reached

    def _checked(self, item: calls.LoggedEvent, reached: int) -> Logged:
        _require(self.position <= item.position < reached, "has an event out of its place")
        if self.frontier is not None:
            _require(item.position == self.position, "left an event out")
            self.frontier.append(item.leaf)
        elif self.checkpoint is not None:
            verify_inclusion(
                leaf=leaf_hash(item.leaf),
                index=item.position,
                size=self.checkpoint.size,
                proof=item.audit_path,
                root=self.checkpoint.root,
            )
        event = parse_leaf(item.leaf)
        _require(self._wanted.fits(event) and self._in_time(event), "has an event nobody asked for")
        self.position = item.position + 1
        return Logged(item.position, item.leaf, event)

    def _fits_ends(self, header: calls.EventsHeader, checkpoint: Checkpoint) -> bool:
        """Whether only a limit of time has made the range smaller."""
        wanted = self._wanted
        last = checkpoint.size if wanted.end is None else wanted.end
        return (
            wanted.start_time is not None or header.start == min(wanted.start, header.end)
        ) and (header.end == last if wanted.end_time is None else header.end <= last)

    def _in_time(self, event: Event) -> bool:
        wanted = self._wanted
        return (wanted.start_time is None or event.time >= wanted.start_time) and (
            wanted.end_time is None or event.time < wanted.end_time
        )


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise VerificationFailed(f"the stream of events {otherwise}", step="stream")
