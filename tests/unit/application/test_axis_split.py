"""One receiver that is refused does not keep a document from the others; several go at once."""

from __future__ import annotations

import asyncio
from datetime import timedelta, timezone

import pytest

from adapters.memory.axis import MemoryAxis
from hub.application.axis import AxisUnreachable
from hub.application.expiry import expire_overdue
from hub.application.ports import RelayRow
from hub.domain.relay import RelayKind, RelayState
from tests.support.builders import Party, at_once, check_whole, new_request_id, run
from tests.support.relaying import ELSEWHERE, HERE, THERE, Linked, linked

HOUR = timedelta(hours=1)
VIETNAM = timezone(timedelta(hours=7))
OTHERS = ("D.H99", "E.H99")
ALL = (HERE, THERE, ELSEWHERE, *OTHERS)
here, there = Party(HERE), Party(THERE)


@pytest.fixture
def axis() -> MemoryAxis:
    return MemoryAxis(ALL)


@pytest.fixture
def ours(axis: MemoryAxis) -> Linked:
    return linked(axis, HERE)


def sent(ours: Linked, *recipients: str, **changes):
    envelope = here.envelope(*recipients, contents=[b"x"], **changes)
    ours.hub.submit(HERE, envelope, [b"x"])
    return envelope


def rounds(ours: Linked, times: int = 3) -> None:
    for _ in range(times):
        ours.send()


def rows(ours: Linked, kind: RelayKind = RelayKind.DOCUMENT) -> dict[str, RelayRow]:
    return {row.agency: row for row in ours.rows() if row.kind is kind}


def states(ours: Linked, kind: RelayKind = RelayKind.DOCUMENT) -> dict[str, str]:
    return {agency: row.state.name for agency, row in sorted(rows(ours, kind).items())}


def received(axis: MemoryAxis) -> list[str]:
    return sorted(each.recipient for each in axis._deliveries)


def recall(ours: Linked, envelope) -> None:
    said = here.say(
        "application/vnd.lienthong.recall.v1+json",
        envelope_digest=envelope.digest.hex(),
        reason="ban hành nhầm",
    )
    ours.hub.recall(HERE, said)


@pytest.mark.parametrize("narrows", [True, False])
def test_the_others_get_it_and_the_refused_one_is_parked_with_its_code(ours, axis, narrows):
    axis.narrows = narrows
    axis.locked.add(ELSEWHERE)
    sent(ours, THERE, ELSEWHERE, OTHERS[0])
    rounds(ours)

    assert states(ours) == {"": "SPLIT", THERE: "SENT", ELSEWHERE: "PARKED", OTHERS[0]: "SENT"}
    refused = rows(ours)[ELSEWHERE]
    assert (refused.reason, refused.code) == ("AXIS_REFUSED", "23")
    assert received(axis) == [THERE, OTHERS[0]]
    (theirs,) = (each.package for each in axis._deliveries if each.recipient == THERE)
    assert [code.encode() in theirs for code in (THERE, ELSEWHERE)] == [True, narrows]
    view = run(ours.hub.exchanges.exchange(HERE, refused.exchange_id))
    shown = {agency: (row.state.name, row.code) for agency, row in view.relays.items()}
    assert shown == {THERE: ("SENT", ""), ELSEWHERE: ("PARKED", "23"), OTHERS[0]: ("SENT", "")}
    check_whole(ours.hub)

    axis.locked.clear()
    run(ours.operators.resume("operator", new_request_id(), refused.relay_id))
    rounds(ours)
    assert states(ours)[ELSEWHERE] == "SENT"
    assert received(axis) == [THERE, ELSEWHERE, OTHERS[0]]
    assert not ours.reconcile().differences
    check_whole(ours.hub)


def test_a_single_receiver_that_is_refused_is_parked_as_before(ours, axis):
    axis.locked.add(THERE)
    sent(ours, THERE)
    rounds(ours)
    assert states(ours) == {"": "PARKED"}


def test_it_goes_on_from_the_log_after_a_stop(ours, axis):
    axis.locked.add(ELSEWHERE)
    sent(ours, THERE, ELSEWHERE)
    ours.send()
    assert states(ours)[""] == "SPLIT"
    again = ours.restarted()
    rounds(again)
    assert states(again) == {"": "SPLIT", THERE: "SENT", ELSEWHERE: "PARKED"}
    check_whole(again.hub)


def test_a_recall_goes_to_those_that_got_it_and_to_the_other_once_it_does(ours, axis):
    axis.locked.add(ELSEWHERE)
    envelope = sent(ours, THERE, ELSEWHERE)
    rounds(ours)
    recall(ours, envelope)
    rounds(ours)
    assert states(ours, RelayKind.RECALL) == {"": "SPLIT", THERE: "SENT", ELSEWHERE: "WAITING"}
    assert received(axis) == [THERE, THERE]

    axis.locked.clear()
    run(ours.operators.resume("operator", new_request_id(), rows(ours)[ELSEWHERE].relay_id))
    rounds(ours)
    assert states(ours, RelayKind.RECALL)[ELSEWHERE] == "SENT"
    check_whole(ours.hub)


def test_what_speaks_of_it_goes_to_the_others_too(ours, axis):
    axis.locked.add(ELSEWHERE)
    envelope = sent(ours, THERE, ELSEWHERE)
    rounds(ours)
    sent(ours, THERE, action="update", relates_to=envelope.digest.hex(), document={"number": "9"})
    rounds(ours)
    assert received(axis) == [THERE, THERE]


def test_a_receiver_of_its_own_waits_for_nobody_elses_document(ours, axis):
    axis.locked.add(ELSEWHERE)
    envelope = sent(ours, THERE, ELSEWHERE)
    rounds(ours)
    update = {"action": "update", "relates_to": envelope.digest.hex()}
    sent(ours, THERE, ELSEWHERE, OTHERS[0], document={"number": "9"}, **update)
    rounds(ours, 4)
    assert received(axis) == [THERE, THERE, OTHERS[0]]
    check_whole(ours.hub)


# --- Side by side -----------------------------------------------------------------------


class Slow:
    """A gateway that lets nothing through before as many as possible are on their way."""

    def __init__(self, gateway) -> None:
        self._gateway, self.now, self.most = gateway, 0, 0

    def __getattr__(self, name):
        return getattr(self._gateway, name)

    async def send(self, prepared, package):
        self.now += 1
        self.most = max(self.most, self.now)
        for _ in range(20):
            await asyncio.sleep(0)
        try:
            return await self._gateway.send(prepared, package)
        finally:
            self.now -= 1


def test_several_go_at_once_and_no_more_than_are_allowed(ours, axis):
    ours.outbox._gateway = slow = Slow(ours.gateway)
    ours.outbox._at_once = 3
    for number in range(7):
        sent(ours, THERE, document={"number": str(number)})
    assert ours.send() == 7
    assert slow.most == 3
    check_whole(ours.hub)


def test_a_recall_never_overtakes_its_document(ours, axis):
    ours.outbox._gateway = Slow(ours.gateway)
    ours.outbox._at_once = 4
    envelopes = [sent(ours, THERE, document={"number": str(number)}) for number in range(4)]
    axis.fail_before.append(AxisUnreachable())
    ours.send()
    for envelope in envelopes:
        recall(ours, envelope)
    for _ in range(4):
        ours.hub.clock.advance(HOUR)
        ours.send()
    order: dict[str, list[bool]] = {}
    for each in axis._deliveries:
        found = next(row for row in ours.rows() if row.axis_id == each.package_id)
        order.setdefault(str(found.exchange_id), []).append(found.kind is RelayKind.RECALL)
    assert all(each in ([False, True], []) for each in order.values())
    assert {True, False} == {kind for each in order.values() for kind in each}


def test_one_that_cannot_be_reached_stops_the_round_and_nothing_is_recorded(ours, axis):
    ours.outbox._at_once = 2
    for number in range(4):
        sent(ours, THERE, document={"number": str(number)})
    axis.fail_before += [AxisUnreachable()] * 2
    assert ours.send() == 0
    assert ours.outbox.unreachable_rounds == 1
    assert not [row for row in ours.rows() if row.state is RelayState.FAILED]


# --- The sender's limit -----------------------------------------------------------------


def expire(ours: Linked) -> int:
    hub = ours.hub
    return run(expire_overdue(hub.views, hub.lane, at_once, at=hub.clock()))


def limited(ours: Linked, *recipients: str):
    limit = (ours.hub.clock() + HOUR).astimezone(VIETNAM).isoformat(timespec="seconds")
    return sent(ours, *recipients, expires_at=limit)


def expired(ours: Linked) -> dict[str, bool]:
    (row, *_rest) = ours.rows()
    return {each.recipient: each.expired for each in ours.hub.views.deliveries(row.exchange_id)}


def test_a_document_at_the_axis_does_not_expire(ours, axis):
    limited(ours, THERE)
    ours.send()
    ours.hub.clock.advance(2 * HOUR)
    assert expire(ours) == 0
    assert expired(ours) == {THERE: False}
    assert ours.hub.views.overdue(ours.hub.clock(), 10) == []
    check_whole(ours.hub)


def test_one_that_never_got_there_expires_and_is_not_sent(ours, axis):
    limited(ours, THERE)
    ours.hub.clock.advance(2 * HOUR)
    assert expire(ours) == 1
    assert expired(ours) == {THERE: True}
    ours.send()
    assert received(axis) == []
    assert [row.reason for row in ours.rows()] == ["WITHDRAWN"]
    check_whole(ours.hub)


def test_the_limit_still_holds_for_recipients_of_this_hub(axis):
    ours = linked(axis, HERE, ELSEWHERE)
    limited(ours, THERE, ELSEWHERE)
    ours.send()
    ours.hub.clock.advance(2 * HOUR)
    assert expire(ours) == 1
    assert expired(ours) == {THERE: False, ELSEWHERE: True}
    check_whole(ours.hub)
