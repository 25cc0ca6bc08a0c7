"""Two hubs exchange documents through one axis, whatever that does."""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import replace
from datetime import timedelta

import pytest

from adapters.memory.axis import Delivered, MemoryAxis
from adapters.memory.faults import Fault
from hub.application.agency_changes import ReinstateAgency, SuspendAgency
from hub.application.axis import (
    AxisOutcomeUnknown,
    AxisRefused,
    AxisUnreachable,
    MessageKind,
    TransportState,
)
from hub.domain.delivery import DeliveryState, RecallState
from hub.domain.relay import Direction, RelayKind, RelayState
from hub.domain.values import format_time
from hub.errors import AxisUnavailable
from hub.proof.leaf import parse_leaf
from tests.support.builders import Party, check_whole, new_request_id, run
from tests.support.relaying import ELSEWHERE, GRACE, HERE, THERE, Linked, linked

CONTENTS = [b"%PDF-1.7 noi dung", "ghi chú".encode()]
here, there = Party(HERE), Party(THERE)


@pytest.fixture
def axis() -> MemoryAxis:
    return MemoryAxis((HERE, THERE, ELSEWHERE))


@pytest.fixture
def ours(axis: MemoryAxis) -> Linked:
    return linked(axis, HERE)


@pytest.fixture
def theirs(axis: MemoryAxis) -> Linked:
    return linked(axis, THERE)


def sent(ours: Linked, *recipients: str, **changes):
    envelope = here.envelope(*(recipients or (THERE,)), contents=CONTENTS, **changes)
    ours.hub.submit(HERE, envelope, CONTENTS)
    return envelope


def received(link: Linked, code: str = THERE):
    return [document for _line, _delivery, document in link.hub.views.inbox(code, 0, 100)]


def states(link: Linked) -> list[tuple[str, str, RelayState]]:
    return [(row.kind.value, row.status, row.state) for row in link.rows()]


def settle(*links: Linked, rounds: int = 4) -> None:
    for _ in range(rounds):
        for link in links:
            link.send()
            link.take()


def test_a_document_arrives_at_the_other_hub_as_it_was_sent(ours: Linked, theirs: Linked):
    envelope = sent(ours)

    assert ours.send() == 1
    assert theirs.take() == 1

    theirs = theirs.restarted()
    (document,) = received(theirs)
    assert (document.sender, document.origin) == (HERE, "axis")
    assert (document.code, document.subject) == (
        "125/UBND-VP",
        "V/v triển khai liên thông văn bản điện tử",
    )
    taken = parse_leaf(theirs.hub.log.entries(document.position, 1)[0].state)
    assert taken.topic == "hub.Exchange.AxisDocumentTaken"
    assert "signature" not in taken.data["statement"]
    handed = theirs.hub.collect(
        THERE,
        there.say(
            "application/vnd.lienthong.collect.v1+json",
            envelope_digest=document.envelope_digest.hex(),
        ),
    )
    payload = json.loads(handed.envelope.statement.payload)
    assert (payload["agency"], payload["origin"]) == (HERE, "axis")
    assert payload["axis"]["package"] == taken.data["package"]
    assert handed.envelope.enrolment is None
    assert handed.envelope.statement.signature == b""
    assert [
        theirs.hub.download(THERE, document.exchange_id, number) for number in range(2)
    ] == CONTENTS
    assert envelope.digest != document.envelope_digest
    check_whole(ours.hub)
    check_whole(theirs.hub)


def test_statuses_come_back_and_the_proof_of_receipt_comes_by_itself(ours, theirs):
    sent(ours)
    settle(ours, theirs)
    (delivery,) = ours.hub.views.deliveries(ours.rows()[0].exchange_id)
    assert delivery.state is DeliveryState.ARRIVED
    (document,) = received(theirs)
    named = {"envelope_digest": document.envelope_digest.hex()}

    for code in ("03", "06"):
        said = there.say("application/vnd.lienthong.status.v1+json", **named, code=code)
        theirs.hub.report(THERE, said)
    settle(theirs, ours)

    (delivery,) = ours.hub.views.deliveries(delivery.exchange_id)
    assert (delivery.state, delivery.collected) == (DeliveryState.FINISHED, True)
    lines = [(line.kind.name, line.code) for line, _ in ours.hub.views.outbox(HERE, 0, 10)]
    assert lines == [("AXIS_STATUS", "01"), ("AXIS_STATUS", "03"), ("AXIS_STATUS", "06")]
    check_whole(ours.hub)
    check_whole(theirs.hub)


def test_a_status_is_told_once_however_often_it_is_reported(ours, theirs):
    sent(ours)
    settle(ours, theirs)
    (document,) = received(theirs)
    for code in ("01", "03", "03", "01"):
        named = {"envelope_digest": document.envelope_digest.hex(), "code": code}
        said = there.say("application/vnd.lienthong.status.v1+json", **named)
        theirs.hub.report(THERE, said)
    settle(theirs, ours)

    told = [row.status for row in theirs.rows() if row.direction is Direction.OUT]
    assert sorted(told) == ["01", "03"]


@pytest.mark.parametrize(
    ("code", "answered"), [("15", RecallState.AGREED), ("16", RecallState.REFUSED)]
)
def test_a_recall_goes_there_and_its_answer_comes_back(ours, theirs, code, answered):
    envelope = sent(ours)
    settle(ours, theirs)
    ours.hub.recall(HERE, here.recall(envelope))
    settle(ours, theirs)

    (document,) = received(theirs)[:1]
    (delivery,) = theirs.hub.views.deliveries(document.exchange_id)
    assert delivery.recall is RecallState.ASKED
    more = {"reason": "đã xử lý xong"} if code == "16" else {}
    theirs.hub.answer(
        THERE,
        there.say(
            "application/vnd.lienthong.recall-answer.v1+json",
            envelope_digest=document.envelope_digest.hex(),
            code=code,
            **more,
        ),
    )
    settle(theirs, ours)

    (delivery,) = ours.hub.views.deliveries(ours.rows()[0].exchange_id)
    assert delivery.recall is answered
    check_whole(ours.hub)
    check_whole(theirs.hub)


def test_an_update_and_a_replacement_find_the_document_they_speak_of(ours, theirs):
    first = sent(ours)
    update = here.envelope(THERE, action="update", relates_to=first.digest.hex())
    ours.hub.submit(HERE, update)
    replacement = here.envelope(THERE, action="replace", relates_to=update.digest.hex())
    ours.hub.submit(HERE, replacement)
    settle(ours, theirs)

    kinds = [line.kind.name for line, _, _ in theirs.hub.views.inbox(THERE, 0, 100)]
    assert kinds == ["DOCUMENT", "DOCUMENT", "UPDATED", "DOCUMENT", "REPLACED"]
    documents = {document.exchange_id: document for document in received(theirs)}
    by_position = sorted(documents.values(), key=lambda document: document.position)
    assert by_position[1].replaced_by == by_position[2].exchange_id
    check_whole(theirs.hub)


def test_recipients_here_and_behind_the_axis_stand_in_one_submission(axis):
    ours, theirs = linked(axis, HERE, "A2.H99"), linked(axis, THERE)
    sent(ours, "A2.H99", THERE)
    settle(ours, theirs)

    assert len(received(ours, "A2.H99")) == 1
    (package,) = [row for row in ours.rows() if row.kind is RelayKind.DOCUMENT]
    assert package.state is RelayState.SENT
    assert len(received(theirs)) == 1
    rows = {row.recipient: row.state for row in ours.hub.views.deliveries(package.exchange_id)}
    assert rows == {"A2.H99": DeliveryState.CONSIGNED, THERE: DeliveryState.ARRIVED}


# --- Failing ------------------------------------------------------------------------------


def test_nothing_is_recorded_while_the_axis_cannot_be_reached(ours, axis):
    sent(ours)
    axis.fail_before = [AxisUnreachable("no route")]
    ours.send()

    (row,) = ours.rows()
    assert (row.state, row.attempts) == (RelayState.QUEUED, 0)
    events = len(ours.hub.events())
    assert ours.send() == 0, "it waits before it tries again"
    assert len(ours.hub.events()) == events
    ours.hub.clock.advance(timedelta(seconds=46))
    assert ours.send() == 1


@pytest.mark.parametrize("failure", [AxisOutcomeUnknown("lost"), AxisRefused("20")])
def test_an_unknown_outcome_is_repeated_later_the_same_to_the_byte(ours, theirs, axis, failure):
    sent(ours)
    requests: list[bytes] = []
    send = ours.gateway.send

    async def watched(prepared, package):
        requests.append(prepared.request + package.read())
        package.seek(0)
        return await send(prepared, package)

    ours.gateway.send = watched
    axis.fail_after = [failure]
    ours.send()

    (row,) = ours.rows()
    assert (row.state, row.attempts) == (RelayState.FAILED, 1)
    assert row.reason == failure.reason
    assert ours.send() == 0
    ours.hub.clock.advance(timedelta(minutes=2))
    ours = ours.restarted()
    ours.gateway.send = watched
    assert ours.send() == 1
    assert requests[0] == requests[1]
    assert theirs.take() == 1
    assert len(received(theirs)) == 1


@pytest.mark.parametrize("code", ["10", "15", "18", "19", "21", "22", "23"])
def test_what_another_attempt_cannot_mend_waits_for_an_operator(ours, theirs, axis, code):
    sent(ours)
    axis.fail_before = [AxisRefused(code, "không được")]
    ours.send()

    (row,) = ours.rows()
    assert (row.state, row.reason, row.code) == (RelayState.PARKED, "AXIS_REFUSED", code)
    ours.hub.clock.advance(timedelta(days=1))
    assert ours.send() == 0

    request = "00000000-0000-4000-8000-0000000fffff"
    first = run(ours.operators.resume("operator", request, row.relay_id))
    assert run(ours.operators.resume("operator", request, row.relay_id)) == first
    assert ours.send() == 1
    assert theirs.take() == 1
    check_whole(ours.hub)


def test_failures_come_less_and_less_often(ours, axis):
    sent(ours)
    waits = []
    for _ in range(12):
        axis.fail_before = [AxisOutcomeUnknown("lost")]
        ours.send()
        (row,) = ours.rows()
        waits.append(row.again_at - ours.hub.clock())
        ours.hub.clock.advance(waits[-1])

    assert timedelta(seconds=15) <= waits[0] <= timedelta(seconds=45)
    assert all(wait <= timedelta(minutes=90) for wait in waits)
    assert min(waits[-3:]) >= timedelta(minutes=30)


def test_one_package_that_fails_does_not_hold_up_another(ours, theirs, axis):
    sent(ours)
    sent(ours, document={"number": "126"})
    axis.fail_before = [AxisRefused("22")]

    assert ours.send() == 1
    assert theirs.take() == 1


def test_a_document_recalled_before_it_was_sent_is_not_sent(ours, theirs):
    envelope = sent(ours)
    ours.hub.recall(HERE, here.recall(envelope))
    settle(ours, theirs)

    assert received(theirs) == []
    assert {row.reason for row in ours.rows()} == {"WITHDRAWN"}


def test_a_recall_waits_until_its_document_is_there(ours, theirs, axis):
    envelope = sent(ours)
    axis.fail_after = [AxisOutcomeUnknown("lost")]
    ours.send()
    ours.hub.recall(HERE, here.recall(envelope))
    ours.send()
    assert [row.state for row in ours.rows() if row.kind is RelayKind.RECALL] == [
        RelayState.WAITING
    ]
    ours.hub.clock.advance(timedelta(hours=2))
    settle(ours, theirs)

    assert [row.state for row in ours.rows() if row.kind is RelayKind.RECALL] == [RelayState.SENT]
    assert [line.kind.name for line, _, _ in theirs.hub.views.inbox(THERE, 0, 9)] == [
        "DOCUMENT",
        "RECALL",
    ]


def test_an_erased_document_is_not_sent_and_its_package_goes(ours, theirs, axis):
    ours.hub.let_in("operator-2")
    envelope = sent(ours)
    axis.fail_before = [AxisOutcomeUnknown("lost")]
    ours.send()
    (row,) = ours.rows()
    assert row.relay_id in set(ours.hub.stores.content.exchanges())

    ours.hub.erase(envelope)
    ours.hub.clock.advance(timedelta(hours=2))
    settle(ours, theirs)

    assert received(theirs) == []
    assert list(ours.hub.stores.content.exchanges()) == []
    check_whole(ours.hub)


# --- Taking in ----------------------------------------------------------------------------


def test_what_came_is_acknowledged_only_after_it_is_recorded(ours, theirs, axis):
    sent(ours)
    ours.send()
    theirs.hub.break_next("log.commit", Fault.LOST)
    theirs.take()
    assert run(theirs.gateway.count(MessageKind.DOCUMENT)) == 1

    theirs.take()
    assert len(received(theirs)) == 1
    assert run(theirs.gateway.count(MessageKind.DOCUMENT)) == 0
    check_whole(theirs.hub)


def test_an_acknowledgement_that_got_lost_is_repeated_and_nothing_is_doubled(ours, theirs, axis):
    sent(ours)
    ours.send()
    marked = theirs.gateway.mark

    async def lost(axis_id: str, state: TransportState) -> None:
        raise AxisOutcomeUnknown("lost")

    theirs.gateway.mark = lost
    assert theirs.take() == 1
    theirs = theirs.restarted()
    theirs.gateway.mark = marked
    assert theirs.take() == 0
    assert len(received(theirs)) == 1
    assert run(theirs.gateway.count(MessageKind.DOCUMENT)) == 0


def test_the_same_package_under_another_id_is_the_same(ours, theirs, axis):
    sent(ours)
    ours.send()
    axis._deliveries.append(replace(axis._deliveries[0], axis_id="received-again"))

    assert theirs.take() == 1
    assert len(received(theirs)) == 1
    assert run(theirs.gateway.count(MessageKind.DOCUMENT)) == 0


def test_other_content_under_the_same_name_is_parked(ours, theirs, axis):
    sent(ours)
    ours.send()
    changed = axis._deliveries[0].package.replace(b"125", b"126")
    axis._deliveries.append(replace(axis._deliveries[0], axis_id="received-again", package=changed))

    theirs.take()
    (parked,) = [row for row in theirs.rows() if row.state is RelayState.PARKED]
    assert parked.reason == "OTHER_CONTENT"
    assert len(received(theirs)) == 1
    check_whole(theirs.hub)


def test_a_package_that_names_an_agency_of_this_hub_as_sender_is_parked(theirs, axis):
    forged = linked(MemoryAxis((HERE, THERE)), HERE)
    sent(forged)
    forged.send()
    package = forged.gateway._axis._deliveries[0].package
    deliver(axis, package.replace(b"<edXML:OrganId>A.H99", b"<edXML:OrganId>B.H99", 1))

    theirs.take()
    (parked,) = theirs.rows()
    assert (parked.state, parked.reason) == (RelayState.PARKED, "SENDER_IS_HERE")
    assert received(theirs) == []


def test_a_status_of_an_unknown_document_waits_a_while_and_is_parked(ours, theirs, axis):
    sent(ours)
    settle(ours, theirs)
    status = next(each for each in axis._deliveries if each.kind is MessageKind.STATUS)
    stranger = linked(MemoryAxis((HERE, THERE)), HERE)
    stranger.gateway = ours.gateway
    other = linked(axis, HERE)
    status.state = "initial"

    other.take()
    assert other.rows() == [], "its document may still come"
    other.hub.clock.advance(timedelta(minutes=16))
    other.take()
    (parked,) = other.rows()
    assert (parked.kind, parked.reason) == (RelayKind.STATUS, "DOCUMENT_UNKNOWN")
    check_whole(other.hub)


def test_an_answer_to_a_recall_nobody_asked_for_is_parked(ours, theirs, axis):
    sent(ours)
    settle(ours, theirs)
    status = next(each for each in axis._deliveries if each.kind is MessageKind.STATUS)
    deliver(axis, status.package.replace(b">01<", b">15<"), MessageKind.STATUS, HERE)

    ours.take()
    assert [row.reason for row in ours.rows() if row.state is RelayState.PARKED] == [
        "RECALL_NOT_OPEN"
    ]


def test_what_came_too_early_is_taken_when_the_document_it_speaks_of_is_here(ours, theirs, axis):
    first = sent(ours)
    update = here.envelope(THERE, action="update", relates_to=first.digest.hex())
    ours.hub.submit(HERE, update)
    ours.send()
    axis._deliveries.reverse()

    assert theirs.take() == 2
    assert len({document.exchange_id for document in received(theirs)}) == 2
    assert [row for row in theirs.rows() if row.state is RelayState.PARKED] == []


@pytest.mark.parametrize("fail", [AxisOutcomeUnknown("x"), AxisRefused("20")])
def test_a_list_that_cannot_be_read_is_no_empty_list(ours, theirs, axis, fail):
    sent(ours)
    ours.send()
    axis.fail_after = [fail]

    theirs.take()
    assert any("cannot be read" in what for _, what in theirs.told)
    theirs.take()
    assert len(received(theirs)) == 1


def test_a_parked_package_is_read_once_more_when_an_operator_says_so(theirs, axis):
    late = linked(MemoryAxis(("Z.H99", "NEW.H99", THERE)), "Z.H99")
    sender = Party("Z.H99")
    late.hub.submit("Z.H99", sender.envelope("NEW.H99", contents=CONTENTS), CONTENTS)
    late.send()
    deliver(axis, late.gateway._axis._deliveries[0].package, recipient="")
    axis._deliveries[-1].recipient = THERE
    broken = axis._deliveries[-1]
    assert broken.recipient == THERE

    # Addressed to an agency that is not here yet, and offered to nobody by name.
    async def nameless(kind, **_days):
        found = await waiting(kind)
        return [replace(each, recipient="") for each in found]

    waiting, theirs.gateway.waiting = theirs.gateway.waiting, nameless
    theirs.take()
    (parked,) = theirs.rows()
    assert (parked.state, parked.reason) == (RelayState.PARKED, "RECIPIENT_UNKNOWN")
    assert broken.state == "fail"

    theirs.hub.register("NEW.H99")
    resumed = "00000000-0000-4000-8000-0000000eeeee"
    run(theirs.operators.resume("operator", resumed, parked.relay_id))
    assert theirs.take() == 1

    (document,) = received(theirs, "NEW.H99")
    assert document.sender == "Z.H99"
    assert broken.state == "done"
    check_whole(theirs.hub)


def deliver(
    axis: MemoryAxis,
    package: bytes,
    kind: MessageKind = MessageKind.DOCUMENT,
    recipient: str = THERE,
) -> None:
    """Put a package of a stranger before one of the hubs."""
    number = len(axis._deliveries)
    axis._deliveries.append(
        Delivered(f"strange-{number}", f"sent-{number}", kind, "", recipient, package)
    )


# --- The axis as a whole ------------------------------------------------------------------


def test_the_books_agree_when_everything_has_arrived(ours, theirs):
    sent(ours)
    settle(ours, theirs)

    done = ours.reconcile()
    assert (done.differences, done.compared) == ((), 1)
    report = json.loads(done.report)
    assert report["oldest_unsent"] is None
    event = parse_leaf(done.recorded.receipt.leaf)
    assert event.data["report"] == hashlib.sha256(done.report).hexdigest()
    # Every receiver has it: its bytes are not kept any longer.
    row = next(row for row in ours.rows() if row.kind is RelayKind.DOCUMENT)
    assert row.relay_id not in set(ours.hub.stores.content.exchanges())
    check_whole(ours.hub)


def test_a_document_that_the_axis_has_lost_is_found(ours, theirs, axis):
    sent(ours)
    ours.send()
    axis._deliveries.clear()

    done = ours.reconcile()
    assert [each.what for each in done.differences] == ["not-at-axis"]


def test_what_came_a_moment_ago_is_on_its_way_and_no_difference(ours, theirs):
    sent(ours)
    ours.send()

    done = theirs.reconcile()
    assert done.differences == ()
    (said,) = json.loads(done.report)["untaken"]
    assert (said["kind"], said["since"]) == ("edoc", format_time(theirs.hub.clock()))

    theirs.hub.clock.advance(GRACE)
    settle(ours, theirs)
    theirs.hub.clock.advance(timedelta(minutes=1))
    assert theirs.reconcile().differences == ()
    check_whole(theirs.hub)


def test_what_waits_and_is_never_taken_is_found(ours, theirs):
    sent(ours)
    ours.send()
    assert theirs.reconcile().differences == ()

    theirs.hub.clock.advance(GRACE + timedelta(seconds=1))
    (lost,) = theirs.reconcile().differences
    assert (lost.what, lost.kind) == ("not-taken", "edoc")
    assert [each.what for each in theirs.reconcile().differences] == ["not-taken"], "still"


def test_what_was_noticed_before_the_comparison_is_found_by_the_first(ours, theirs):
    sent(ours)
    ours.send()
    run(theirs.reconciliation.notice())
    theirs.hub.clock.advance(GRACE + timedelta(seconds=1))
    sent(ours)
    ours.send()

    done = theirs.reconcile()
    assert [each.what for each in done.differences] == ["not-taken"], "and not what came since"
    assert len(json.loads(done.report)["untaken"]) == 2


def test_a_loss_is_found_by_whoever_compares_next(ours, theirs):
    sent(ours)
    ours.send()
    theirs.reconcile()
    for _ in range(2):  # The hub that remembers is gone; its report is not.
        theirs = theirs.restarted()
        theirs.hub.clock.advance(GRACE / 2 + timedelta(seconds=1))
        done = theirs.reconcile()
    assert [each.what for each in done.differences] == ["not-taken"]


def test_a_clock_that_is_set_back_hides_no_loss_for_longer(ours, theirs):
    sent(ours)
    ours.send()
    theirs.hub.clock.advance(timedelta(days=30))
    theirs.reconcile()
    theirs.hub.clock.advance(-timedelta(days=30))
    assert theirs.reconcile().differences == ()

    theirs.hub.clock.advance(GRACE + timedelta(seconds=1))
    assert [each.what for each in theirs.reconcile().differences] == ["not-taken"]


def test_an_axis_that_counts_what_it_does_not_list_is_told_of(ours, theirs, monkeypatch):
    async def count(kind: MessageKind) -> int:
        return 1

    monkeypatch.setattr(theirs.gateway, "count", count)
    found = theirs.reconcile().differences
    assert [(each.what, each.kind) for each in found] == [
        ("count-differs", "edoc"),
        ("count-differs", "status"),
    ]


def test_what_comes_between_list_and_count_is_no_difference(ours, theirs, monkeypatch):
    sent(ours)
    sends = [ours.send]

    async def count(kind: MessageKind) -> int:
        for send in sends:
            await asyncio.to_thread(send)
        sends.clear()
        return len(await type(theirs.gateway).waiting(theirs.gateway, kind))

    monkeypatch.setattr(theirs.gateway, "count", count)
    assert theirs.reconcile().differences == ()


def test_one_answer_that_gets_lost_does_not_cost_the_comparison(ours, theirs, axis):
    sent(ours)
    settle(ours, theirs)
    axis.fail_before += [AxisOutcomeUnknown(), AxisRefused("20")]
    assert ours.reconcile().differences == ()
    axis.fail_before += [AxisRefused("15")]
    with pytest.raises(AxisUnavailable):
        ours.reconcile()
    axis.fail_before += [AxisOutcomeUnknown()] * 4
    with pytest.raises(AxisUnavailable):
        ours.reconcile()


def test_an_axis_that_does_not_answer_is_not_reconciled(ours, axis):
    axis.fail_before = [AxisUnreachable("gone")]
    with pytest.raises(AxisUnavailable):
        ours.reconcile()


def test_an_agency_that_is_suspended_here_parks_what_comes_for_it(ours, theirs):
    sent(ours)
    ours.send()
    theirs.hub.done(SuspendAgency("operator", new_request_id(), THERE, "moved-out"))
    theirs.take()

    (parked,) = theirs.rows()
    assert parked.reason == "AGENCY_SUSPENDED"
    theirs.hub.done(ReinstateAgency("operator", new_request_id(), THERE))
    run(theirs.operators.resume("operator", new_request_id(), parked.relay_id))
    assert theirs.take() == 1
    assert len(received(theirs)) == 1


def test_a_register_that_moves_on_meanwhile_is_asked_again(ours, theirs):
    sent(ours)
    ours.send()
    stored = theirs.arrivals._stored

    def suspended_meanwhile(*arguments):
        command = stored(*arguments)
        theirs.hub.done(SuspendAgency("operator", new_request_id(), THERE, "moved-out"))
        return command

    theirs.arrivals._stored = suspended_meanwhile
    assert theirs.take() == 0
    assert theirs.rows() == []
    theirs.arrivals._stored = stored
    theirs.take()
    assert [row.reason for row in theirs.rows()] == ["AGENCY_SUSPENDED"]
