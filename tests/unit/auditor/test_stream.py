"""A replay finds out whatever a hub may do to it, and goes on over any break."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from adapters.memory.determinism import CountedRandomness
from hub.application.replay import aggregates_of, named_in
from hub.auditor.ranges import Wanted, agencies_named, exchange_of
from hub.auditor.stream import Logged
from hub.client.errors import ForkDetected, HubUnreachable
from hub.errors import PositionUnknown, RequestMalformed, VerificationFailed
from hub.proof.leaf import parse_leaf
from hub.v1 import audit_service_pb2 as calls
from tests.support.audited import Broken, Change, MemoryLine, client_on
from tests.support.builders import MemoryHub, found, run
from tests.support.record_history import PARTIES, live

QUAN_1, TAI_CHINH, Y_TE, NOI_VU = (party.code for party in PARTIES)
STATUS = "hub.Delivery.StatusReported"


@pytest.fixture(scope="module")
def hub() -> MemoryHub:
    return live()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def replayed(
    hub: MemoryHub, folder: Path, wanted: Wanted, *changes: Change, complete: bool = False
) -> list[Logged]:
    client = client_on(MemoryLine(hub, changes), hub, folder)

    async def whole() -> list[Logged]:
        stream = client.events(wanted, complete=complete)
        return [logged async for logged in stream]

    return run(whole())


def positions(events: list[Logged]) -> list[int]:
    return [logged.position for logged in events]


# --- What fits --------------------------------------------------------------------------


def test_everything_is_replayed_byte_for_byte(hub, folder):
    events = replayed(hub, folder, Wanted())
    assert [logged.leaf for logged in events] == [e.state for e in hub.log.entries(0, 10**6)]


def test_any_range_is_replayed_and_proven(hub, folder):
    size = hub.receipts.size
    for start, end in ((0, 0), (0, 1), (size - 1, size), (size, size), (3, 3), (5, 20), (1, size)):
        assert positions(replayed(hub, folder, Wanted(start, end))) == list(range(start, end))


@pytest.mark.parametrize(("start", "end"), [(10**6, None), (0, 10**6), (2**64 - 1, None)])
def test_a_range_beyond_the_checkpoint_is_refused(hub, folder, start, end):
    with pytest.raises(PositionUnknown):
        replayed(hub, folder, Wanted(start, end))


def test_what_no_checkpoint_covers_is_not_replayed(folder):
    hub = live()
    covered = hub.receipts.size
    hub.receipts.publish(covered - 5, hub.receipts.checkpoint())
    # The checkpoint that goes with it is an older one.
    size, note = [one for one in hub.stores.tree.checkpoints() if one[0] <= covered - 5][-1]
    hub.receipts.publish(size, note)
    assert positions(replayed(hub, folder, Wanted())) == list(range(size))
    with pytest.raises(PositionUnknown):
        replayed(hub, folder, Wanted(end=size + 1))


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(agency=TAI_CHINH),
        Wanted(agency=NOI_VU, topics=(STATUS, "hub.Delivery.DeliveryExpired")),
        Wanted(topics=(STATUS,)),
        Wanted(start=20, end=40, agency=QUAN_1),
        Wanted(agency="H00.0"),
    ],
    ids=repr,
)
def test_a_filter_here_and_there_finds_the_same(hub, folder, wanted):
    there = replayed(hub, folder, wanted)
    whole = replayed(hub, folder, wanted, complete=True)
    last = hub.receipts.size if wanted.end is None else wanted.end
    assert positions(whole) == list(range(wanted.start, last))
    assert there == [logged for logged in whole if wanted.fits(logged.event)]


def test_the_story_of_every_document_is_whole(hub, folder):
    everything = replayed(hub, folder, Wanted())
    for exchange in {exchange_of(logged.event) for logged in everything} - {None}:
        wanted = Wanted(exchange_id=exchange)
        assert replayed(hub, folder, wanted) == [
            logged for logged in everything if wanted.fits(logged.event)
        ]


def test_both_sides_agree_about_whom_an_event_names(hub):
    for event in hub.events():
        assert agencies_named(event) == named_in(event)


def test_the_aggregates_of_a_document_are_those_of_its_story(hub):
    events = hub.events()
    for opened in events:
        if opened.topic == "hub.Exchange.DocumentSubmitted":
            story = {e.id for e in events if exchange_of(e) == str(opened.id)}
            assert story <= set(aggregates_of(opened))


def test_times_become_positions(hub, folder):
    events = hub.events()
    for index in (0, 7, 30, len(events) - 1):
        at = events[index].time
        since = positions(replayed(hub, folder, Wanted(start_time=at)))
        before = positions(replayed(hub, folder, Wanted(end_time=at)))
        assert before + since == list(range(len(events)))
        assert all(events[position].time >= at for position in since)
        both = Wanted(start=5, end=50, start_time=at, end_time=at + timedelta(days=1))
        assert positions(replayed(hub, folder, both)) == [
            n for n in range(5, 50) if at <= events[n].time < at + timedelta(days=1)
        ]
    crossed = Wanted(start_time=events[40].time, end_time=events[3].time)
    assert replayed(hub, folder, crossed) == []


def test_too_many_topics_or_unknown_ones_are_refused(hub, folder):
    for topics in ((STATUS, "hub.Log.Nonsense"), tuple(f"hub.A.B{n}" for n in range(65))):
        with pytest.raises(RequestMalformed):
            replayed(hub, folder, Wanted(topics=topics))


# --- Breaks -----------------------------------------------------------------------------


def breaking_after(count: int, code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE) -> Change:
    def change(messages: Iterable[Any]) -> Iterator[Any]:
        for number, message in enumerate(_one_by_one(messages)):
            if number == count:
                raise Broken(code)
            yield message

    return change


def ending_after(count: int) -> Change:
    def change(messages: Iterable[Any]) -> Iterator[Any]:
        for number, message in enumerate(_one_by_one(messages)):
            if number == count:
                return
            yield message

    return change


def _one_by_one(messages: Iterable[Any]) -> Iterator[Any]:
    """The same stream in messages of one event each."""
    for message in messages:
        if message.HasField("header"):
            yield message
            continue
        events = list(message.events)
        for n, event in enumerate(events):
            last = n == len(events) - 1
            reached = message.next_position if last else events[n + 1].position
            yield calls.StreamEventsResponse(events=[event], next_position=reached)
        if not events:
            yield message


@pytest.mark.parametrize("wanted", [Wanted(), Wanted(agency=TAI_CHINH), Wanted(start=9, end=60)])
@pytest.mark.parametrize("broken", [breaking_after, ending_after])
def test_nothing_is_missed_and_nothing_doubled_over_breaks(hub, folder, wanted, broken):
    breaks = [broken(count) for count in (0, 1, 2, 5, 1, 3, 0, 7, 4)]
    assert replayed(hub, folder, wanted, *breaks) == replayed(hub, folder, wanted)


def test_a_replay_goes_on_to_the_end_it_began_with_though_the_log_grows(folder):
    hub = live()
    size = hub.receipts.size

    def growing(messages: Iterable[Any]) -> Iterator[Any]:
        yield from list(_one_by_one(messages))[:5]
        submitting = hub.exchanges.submit(QUAN_1, PARTIES[0].envelope(TAI_CHINH), [])
        with suppress(StopIteration):  # Nothing in it waits, and a loop runs already.
            submitting.send(None)
        raise Broken

    assert positions(replayed(hub, folder, Wanted(), growing)) == list(range(size))


def test_after_so_many_attempts_without_progress_it_gives_up(hub, folder):
    with pytest.raises(HubUnreachable):
        replayed(hub, folder, Wanted(), *[breaking_after(0)] * 3)
    with pytest.raises(HubUnreachable):
        replayed(hub, folder, Wanted(), *[ending_after(1)] * 3)


# --- A hub that lies --------------------------------------------------------------------


def lying(change: Any) -> Change:
    """A hub that changes one message of a stream that comes in messages of one event."""

    def changed(messages: Iterable[Any]) -> Iterator[Any]:
        found = list(_one_by_one(messages))
        change(found)
        yield from found

    return changed


def drop(found: list[Any]) -> None:
    del found[6]


def drop_and_hide(found: list[Any]) -> None:
    del found[6]
    for message in found[6:]:
        message.next_position -= 1
        for event in message.events:
            event.position -= 1
    found[-1].next_position += 1


def double(found: list[Any]) -> None:
    found.insert(6, found[5])


def swap(found: list[Any]) -> None:
    found[5], found[6] = found[6], found[5]


def change_bytes(found: list[Any]) -> None:
    item = found[6].events[0]
    event = parse_leaf(item.leaf)
    # Well formed still: only the root shows it.
    item.leaf = item.leaf.replace(event.time.strftime("%M:%S").encode(), b"00:00", 1)
    assert parse_leaf(item.leaf)


def spoil_bytes(found: list[Any]) -> None:
    found[6].events[0].leaf = b"{}"


def slip_in(found: list[Any]) -> None:
    found[6].events.append(calls.LoggedEvent(position=5, leaf=found[6].events[0].leaf))


def end_early(found: list[Any]) -> None:
    found[0].header.end -= 1
    found.pop()


def begin_late(found: list[Any]) -> None:
    found[0].header.start += 1


def begin_without_header(found: list[Any]) -> None:
    del found[0]


def jump(found: list[Any]) -> None:
    found[6].next_position = found[-1].next_position


def go_back(found: list[Any]) -> None:
    found[6].next_position = 0


def overrun(found: list[Any]) -> None:
    found[6].next_position = 2**63


def forge_frontier(found: list[Any]) -> None:
    found[0].header.frontier[0] = bytes(32)


def shorten_frontier(found: list[Any]) -> None:
    del found[0].header.frontier[:]


def unsign(found: list[Any]) -> None:
    found[0].header.checkpoint = found[0].header.checkpoint.replace(b"\n\n", b"\nx\n\n")


def claim_a_filter(found: list[Any]) -> None:
    found[0].header.filtered = True


LIES = [
    drop, drop_and_hide, double, swap, change_bytes, spoil_bytes, slip_in, end_early, begin_late,
    begin_without_header, jump, go_back, overrun, forge_frontier, shorten_frontier, unsign,
    claim_a_filter,
]  # fmt: skip


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_every_lie_about_a_range_is_found(hub, folder, lie):
    with pytest.raises(VerificationFailed):
        replayed(hub, folder, Wanted(start=3), lying(lie))


def show_others(found: list[Any]) -> None:
    """Events that do not fit the filter."""
    item = found[-1].events[0]
    item.position = found[-2].events[0].position


def forge_path(found: list[Any]) -> None:
    found[3].events[0].audit_path[0] = bytes(32)


def drop_path(found: list[Any]) -> None:
    del found[3].events[0].audit_path[:]


@pytest.mark.parametrize(
    "lie",
    [change_bytes, spoil_bytes, double, swap, show_others, forge_path, drop_path, go_back, overrun],
    ids=lambda lie: lie.__name__,
)
def test_every_lie_about_a_filtered_event_is_found(hub, folder, lie):
    with pytest.raises(VerificationFailed):
        replayed(hub, folder, Wanted(agency=TAI_CHINH), lying(lie))


def asked_otherwise(line: MemoryLine, change: Any) -> None:
    """A hub that serves another request than it was sent, honestly."""
    serve = line._servicer.StreamEvents

    def changed(request: Any, context: Any) -> Any:
        change(request)
        return serve(request, context)

    line._servicer.StreamEvents = changed


def test_an_event_nobody_asked_for_is_not_taken(hub, folder):
    """Well proven, but of another agency: the hub must not choose what one gets to see."""
    line = MemoryLine(hub)
    asked_otherwise(line, lambda request: setattr(request, "agency", Y_TE))

    with pytest.raises(VerificationFailed, match="nobody asked for"):
        drained(line, hub, folder, Wanted(agency=QUAN_1, topics=("hub.Agency.AgencyRegistered",)))


def test_a_time_that_is_looked_up_wrongly_is_found(hub, folder):
    at = hub.events()[30].time
    late, early = MemoryLine(hub), MemoryLine(hub)

    def begin_late(request: Any) -> None:
        if request.HasField("start_time"):
            request.start = 60

    def end_early(request: Any) -> None:
        if request.HasField("end_time"):
            request.end = 20

    asked_otherwise(late, begin_late)
    with pytest.raises(VerificationFailed, match="begins too late"):
        drained(late, hub, folder, Wanted(start_time=at))
    asked_otherwise(early, end_early)
    with pytest.raises(VerificationFailed, match="ends too early"):
        drained(early, hub, folder, Wanted(end_time=at))


def drained(line: MemoryLine, hub: MemoryHub, folder: Path, wanted: Wanted) -> None:
    async def whole() -> None:
        async for _ in client_on(line, hub, folder).events(wanted):
            pass

    run(whole())


def test_another_history_signed_by_the_same_key_is_a_fork(hub, folder):
    """Who holds the log key can sign another tree; an auditor keeps what it saw of the first."""
    replayed(hub, folder, Wanted())
    forged = found(MemoryHub(randomness=CountedRandomness("forger")))
    assert forged.signer.verifier_key == hub.signer.verifier_key

    with pytest.raises(ForkDetected):
        replayed(forged, folder, Wanted())
    forged.register(*(f"H{number}" for number in range(10, 90)))
    with pytest.raises(ForkDetected):
        replayed(forged, folder, Wanted())
