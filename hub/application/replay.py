"""Replay a stretch of history: all of it, or what fits a filter, as far as a checkpoint covers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID

from hub.application.lane import Receipts
from hub.application.mapper import read_event
from hub.application.offload import Offloader
from hub.application.parties import consignments_of, parties_of
from hub.application.ports import EventLog, LogEntry
from hub.domain.audit_trail import audit_trail_id
from hub.domain.catalogue import EVENTS
from hub.domain.delivery import delivery_id
from hub.domain.exchange import AXIS, OPENING_TOPICS, Exchange
from hub.domain.relay import RelayKind, arrival_id, relay_id
from hub.errors import ExchangeUnknown, LedgerMismatch, PositionUnknown, RequestMalformed
from hub.proof.leaf import Event, parse_leaf
from hub.proof.statements import RECALL_ANSWER_CODES, STATUS_CODES

TOPICS_MAX = 64
STRETCH_EVENTS_MAX = 256
_STRETCH_BYTES_MAX = 1 << 20
# How many positions are looked at before a stretch is handed out, empty if need be: so a
# caller sees that its stream lives, and knows where to go on.
_LOOKED_AT_MAX = 4096


@dataclass(frozen=True, slots=True)
class Range:
    """Which events are wanted: positions from `start` to before `end`, and times likewise.

    `end` None is where the newest checkpoint ends; of `start_time` and `end_time` None means
    no limit. The rest filters: `agency` by its primary code, `exchange_id` with deliveries and
    audits, `topics` any of them.
    """

    start: int = 0
    end: int | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    agency: str = ""
    exchange_id: UUID | None = None
    topics: frozenset[str] = frozenset()

    @property
    def filtered(self) -> bool:
        """Whether events between may be left out."""
        return bool(self.agency or self.exchange_id or self.topics)


@dataclass(frozen=True, slots=True)
class Opened:
    """What a replay is checked against; see the message EventsHeader of the contract."""

    checkpoint: bytes
    size: int
    start: int
    end: int
    filtered: bool
    frontier: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Proven:
    """An event with its audit path, where its stream has a filter."""

    entry: LogEntry
    audit_path: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Some events of a replay; everything before `next_position` was looked at."""

    events: Sequence[Proven]
    next_position: int


class Replay:
    """What an auditor may ask about history. Changes nothing, holds one stretch in memory."""

    def __init__(self, log: EventLog, receipts: Receipts, offload: Offloader) -> None:
        self._log = log
        self._receipts = receipts
        self._offload = offload

    async def open(self, wanted: Range) -> Opened:
        """Where a replay begins and ends, and the checkpoint that covers it.

        Raises RequestMalformed, PositionUnknown and ExchangeUnknown.
        """
        return await self._offload(lambda: self._open(wanted))

    async def stretches(self, wanted: Range, opened: Opened) -> AsyncIterator[Stretch]:
        """The events, stretch by stretch, each read when the one before was taken."""
        ids = await self._offload(lambda: self._aggregates(wanted))
        position = opened.start
        while position < opened.end:
            read = partial(self._stretch, wanted, opened, ids, position)
            stretch = await self._offload(read)
            yield stretch
            position = stretch.next_position
        if opened.start >= opened.end:
            yield Stretch((), opened.end)

    def _open(self, wanted: Range) -> Opened:
        size, checkpoint = self._receipts.published()
        end = size if wanted.end is None else wanted.end
        if max(wanted.start, end) > size:
            raise PositionUnknown(f"the newest checkpoint covers {size} events", size=str(size))
        if wanted.start > end:
            raise RequestMalformed("start lies behind end", field="start")
        _require_topics(wanted.topics)
        self._aggregates(wanted)
        start = wanted.start
        if wanted.start_time is not None:
            start = max(start, self._position_at(wanted.start_time, size))
        if wanted.end_time is not None:
            end = min(end, self._position_at(wanted.end_time, size))
        if start > end:  # Nothing: an empty range within the one that was asked for.
            start = end = max(wanted.start, end)
        frontier = [] if wanted.filtered else self._receipts.frontier(start)
        return Opened(checkpoint, size, start, end, wanted.filtered, frontier)

    def _position_at(self, at: datetime, size: int) -> int:
        """The position of the first event at an instant or later; times never fall."""
        low, high = 0, size
        while low < high:
            middle = (low + high) // 2
            if parse_leaf(self._entry(middle).state).time < at:
                low = middle + 1
            else:
                high = middle
        return low

    def _entry(self, position: int) -> LogEntry:
        entries = self._log.entries(position, 1)
        if not entries or entries[0].position != position:
            raise LedgerMismatch(f"event {position} is missing", position=position)
        return entries[0]

    def _aggregates(self, wanted: Range) -> Sequence[UUID] | None:
        """The aggregates of the exchange that is asked for; None when none is."""
        if wanted.exchange_id is None:
            return None
        return aggregates_of(opened_exchange(self._log, self._receipts, wanted.exchange_id)[1])

    def _stretch(
        self, wanted: Range, opened: Opened, ids: Sequence[UUID] | None, begin: int
    ) -> Stretch:
        fits = _filter(wanted)
        found: list[Proven] = []
        position, weight = begin, 0
        for entry in self._entries(ids, begin, opened.end):
            if len(found) == STRETCH_EVENTS_MAX or weight > _STRETCH_BYTES_MAX:
                return Stretch(found, position)
            position = entry.position + 1
            if fits(entry.state):
                found.append(self._proven(entry, opened))
                weight += len(entry.state)
            if position - begin >= _LOOKED_AT_MAX and ids is None:
                return Stretch(found, position)
        return Stretch(found, opened.end)

    def _entries(self, ids: Sequence[UUID] | None, begin: int, end: int) -> Iterator[LogEntry]:
        position = begin
        while position < end:
            if ids is not None:
                page = self._log.entries_of(ids, position, STRETCH_EVENTS_MAX)
            else:
                page = self._log.entries(position, min(STRETCH_EVENTS_MAX, end - position))
                if not page or page[0].position != position:
                    raise LedgerMismatch(f"event {position} is missing", position=position)
            for entry in page:
                if entry.position >= end:
                    return
                yield entry
            if ids is not None and len(page) < STRETCH_EVENTS_MAX:
                return
            position = page[-1].position + 1

    def _proven(self, entry: LogEntry, opened: Opened) -> Proven:
        path = self._receipts.audit_path(entry.position, opened.size) if opened.filtered else ()
        return Proven(entry, path)


def opened_exchange(log: EventLog, receipts: Receipts, exchange_id: UUID) -> tuple[LogEntry, Event]:
    """The event that opened an exchange, if a checkpoint covers it. Raises ExchangeUnknown."""
    entries = log.entries_of([exchange_id], 0, 1)
    if entries and entries[0].position < receipts.size:
        event = read_event(entries[0].state)
        if event.topic in OPENING_TOPICS:
            return entries[0], event
    raise ExchangeUnknown(
        "no exchange has this id, or no checkpoint covers it yet", exchange_id=str(exchange_id)
    )


def aggregates_of(opened: Event) -> list[UUID]:
    """All that the story of an exchange is made of: itself, deliveries, audits, its relays."""
    recipients = [consignment["agency"] for consignment in opened.data["recipients"]]
    deliveries = [delivery_id(opened.id, recipient) for recipient in recipients]
    return [opened.id, audit_trail_id(opened.id), *deliveries, *relays_of(opened)]


def relays_of(opened: Event) -> list[UUID]:
    """Every package that an exchange can make, or was made of; most never come to be."""
    recipients = opened.data["recipients"]
    if opened.topic == Exchange.AxisDocumentTaken.TOPIC:
        told = [
            relay_id(opened.id, RelayKind.STATUS, each["agency"], code)
            for each in recipients
            for code in (*STATUS_CODES, *RECALL_ANSWER_CODES)
        ]
        return [arrival_id(opened.id), *told]
    if any(each.get("via") == AXIS for each in recipients):
        theirs = ["", *(each["agency"] for each in recipients if each.get("via") == AXIS)]
        return [
            relay_id(opened.id, kind, agency)
            for kind in (RelayKind.DOCUMENT, RelayKind.RECALL)
            for agency in theirs
        ]
    return []


def named_in(event: Event) -> frozenset[str]:
    """The primary codes of all agencies an event names, whatever their part in it."""
    data = event.data
    named = {data.get(name) for name in ("agency", "code", "sender", "successor")}
    named |= parties_of(event) | {each["agency"] for each in consignments_of(data)}
    named.update(data.get("members", ()))
    return frozenset(code for code in named if code and isinstance(code, str))


def _filter(wanted: Range) -> Callable[[bytes], bool]:
    """Whether a leaf fits; what the exchange is, the query has seen to."""
    if not wanted.agency and not wanted.topics:
        return lambda leaf: True
    # Searching the bytes first spares reading most leaves: codes and topics are plain ASCII.
    code = f'"{wanted.agency}"'.encode() if wanted.agency else b""
    topics = [f'"topic":"{topic}"'.encode() for topic in sorted(wanted.topics)] or [b""]

    def fits(leaf: bytes) -> bool:
        if code not in leaf or not any(topic in leaf for topic in topics):
            return False
        event = read_event(leaf)
        return (not wanted.topics or event.topic in wanted.topics) and (
            not wanted.agency or wanted.agency in named_in(event)
        )

    return fits


def _require_topics(topics: frozenset[str]) -> None:
    if len(topics) > TOPICS_MAX:
        raise RequestMalformed(f"at most {TOPICS_MAX} topics", field="topics")
    if unknown := sorted(topics - EVENTS.keys()):
        raise RequestMalformed(f"no event is called {unknown[0][:100]}", field="topics")
