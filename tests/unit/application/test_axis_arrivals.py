"""What cannot be fetched or read does not wait for ever, and holds up nothing else."""

from __future__ import annotations

from datetime import timedelta

import pytest

from adapters.memory.axis import MemoryAxis
from hub.application.inbound import Patience
from hub.domain.relay import Direction, RelayState
from hub.errors import DigestMismatch, RelayNotOpen, RelayUnknown
from hub.proof.leaf import parse_leaf
from tests.support.builders import (
    OPERATOR,
    SECOND_OPERATOR,
    Party,
    check_whole,
    first_operator,
    new_request_id,
    run,
    second_operator,
)
from tests.support.relaying import HERE, THERE, Linked, linked

HOUR = timedelta(hours=1)
here = Party(HERE)


@pytest.fixture
def axis() -> MemoryAxis:
    return MemoryAxis((HERE, THERE))


@pytest.fixture
def ours(axis: MemoryAxis) -> Linked:
    return linked(axis, HERE)


@pytest.fixture
def theirs(axis: MemoryAxis) -> Linked:
    link = linked(axis, THERE)
    link.arrivals._patience = Patience(tries=3)
    link.hub.let_in(SECOND_OPERATOR)
    return link


def send(ours: Linked, number: str) -> None:
    envelope = here.envelope(THERE, contents=[b"x"], document={"number": number})
    ours.hub.submit(HERE, envelope, [b"x"])
    assert ours.send() == 1


def numbers(theirs: Linked) -> list[str]:
    return [each.code for _line, _delivery, each in theirs.hub.views.inbox(THERE, 0, 100)]


def later(theirs: Linked, rounds: int) -> list[int]:
    taken = []
    for _ in range(rounds):
        theirs.hub.clock.advance(2 * HOUR)
        taken.append(theirs.take())
    return taken


def test_a_reply_that_stays_unreadable_is_parked_with_what_came(ours, theirs, axis):
    send(ours, "1")
    axis.unreadable.add(axis._deliveries[0].package)
    send(ours, "2")

    assert theirs.take() == 1  # The other one is not held up.
    assert theirs.take() == 0  # Left alone for a while.
    assert axis._deliveries[0].state == "initial"
    later(theirs, 2)

    (parked,) = [row for row in theirs.rows() if row.state is RelayState.PARKED]
    assert (parked.reason, parked.package_bytes) == ("AXIS_REPLY_UNREADABLE", -1)
    fact = parse_leaf(theirs.hub.log.entries(parked.position, 1)[0].state).data
    assert fact["reply_bytes"] == len(axis._deliveries[0].package)
    kept = theirs.hub.stores.content.read(
        parked.relay_id, 0, fact["reply_bytes"], theirs.hub.vault.key_of(parked.relay_id), 0
    )
    assert b"".join(kept) == axis._deliveries[0].package
    assert axis._deliveries[0].state == "fail"
    assert later(theirs, 3) == [0, 0, 0]
    check_whole(theirs.hub)


def test_what_was_parked_so_is_fetched_anew_when_an_operator_says_so(ours, theirs, axis):
    send(ours, "1")
    axis.unreadable.add(axis._deliveries[0].package)
    later(theirs, 3)
    (parked,) = theirs.rows()

    run(theirs.operators.resume("operator", new_request_id(), parked.relay_id))
    later(theirs, 3)
    (again,) = theirs.rows()
    assert (again.state, again.relay_id) == (RelayState.PARKED, parked.relay_id)

    axis.unreadable.clear()
    run(theirs.operators.resume("operator", new_request_id(), parked.relay_id))
    assert later(theirs, 1) == [1]
    assert axis._deliveries[0].state == "done"
    assert [row.state for row in theirs.rows() if row.direction is Direction.IN] == [
        RelayState.TAKEN
    ]
    assert numbers(theirs) == ["1/UBND-VP"]
    check_whole(theirs.hub)


def test_a_defect_of_ours_holds_up_nothing_and_is_parked_with_the_package(ours, theirs, axis):
    send(ours, "1")
    send(ours, "2")
    read = theirs.arrivals._packages.read
    poison = axis._deliveries[0].package

    class Tripping:
        def read(self, file):
            if file.getvalue() == poison:
                raise ZeroDivisionError
            return read(file)

    theirs.arrivals._packages = Tripping()
    for _ in range(3):
        with pytest.raises(ExceptionGroup):
            theirs.take()
        theirs.hub.clock.advance(2 * HOUR)
    assert numbers(theirs) == ["2/UBND-VP"]
    (parked,) = [row for row in theirs.rows() if row.state is RelayState.PARKED]
    assert (parked.reason, parked.package_bytes) == ("NOT_UNDERSTOOD", len(poison))

    run(theirs.operators.resume("operator", new_request_id(), parked.relay_id))
    with pytest.raises(ExceptionGroup):
        theirs.take()
    theirs.arrivals._packages.read = read
    run(theirs.operators.resume("operator", new_request_id(), parked.relay_id))
    assert theirs.take() == 1
    assert sorted(numbers(theirs)) == ["1/UBND-VP", "2/UBND-VP"]
    check_whole(theirs.hub)


# --- Erased by law without being taken in -------------------------------------------------


def parked_arrival(ours: Linked, theirs: Linked, axis: MemoryAxis):
    send(ours, "1")
    broken = axis._deliveries[0]
    broken.package = broken.package.replace(b"<edXML:OrganId>A.H99", b"<edXML:OrganId>B.H99", 1)
    theirs.take()
    (parked,) = theirs.rows()
    assert parked.reason == "SENDER_IS_HERE"
    return parked


def order_of(row, **changes):
    members = {"envelope_digest": row.package.hex(), "relay": str(row.relay_id)} | changes
    return first_operator.order(None, **members)


def test_a_parked_package_is_erased_by_two_operators_and_nothing_of_it_is_left(ours, theirs, axis):
    parked = parked_arrival(ours, theirs, axis)
    order = order_of(parked)
    theirs.hub.order(OPERATOR, order)
    assert theirs.hub.vault.has_key(parked.relay_id)
    done = theirs.hub.approve(SECOND_OPERATOR, second_operator.approval(order))

    fact = parse_leaf(done.executed.receipt.leaf)
    assert fact.topic == "hub.Relay.ArrivalErased"
    assert (fact.data["digest"], fact.data["ordered_by"]) == (parked.package.hex(), OPERATOR)
    assert not theirs.hub.vault.has_key(parked.relay_id)
    assert parked.relay_id not in theirs.hub.stores.content.exchanges()
    (row,) = theirs.rows()
    assert row.state is RelayState.ERASED
    with pytest.raises(RelayNotOpen):
        run(theirs.operators.resume("operator", new_request_id(), parked.relay_id))
    assert later(theirs, 2) == [0, 0]
    check_whole(theirs.hub)
    again = theirs.restarted()
    assert [row.state for row in again.rows()] == [RelayState.ERASED]


def test_a_reply_that_was_kept_instead_is_erased_likewise(ours, theirs, axis):
    send(ours, "1")
    axis.unreadable.add(axis._deliveries[0].package)
    later(theirs, 3)
    (parked,) = theirs.rows()
    order = order_of(parked)
    theirs.hub.order(OPERATOR, order)
    theirs.hub.approve(SECOND_OPERATOR, second_operator.approval(order))
    assert parked.relay_id not in theirs.hub.stores.content.exchanges()
    check_whole(theirs.hub)


def test_only_what_is_parked_on_arrival_can_be_ordered_so(ours, theirs, axis):
    parked = parked_arrival(ours, theirs, axis)
    with pytest.raises(DigestMismatch):
        theirs.hub.order(OPERATOR, order_of(parked, envelope_digest="00" * 32))
    with pytest.raises(RelayUnknown):
        theirs.hub.order(OPERATOR, order_of(parked, relay=new_request_id()))
    (sent,) = ours.rows()
    with pytest.raises(RelayNotOpen):
        ours.hub.order(OPERATOR, order_of(sent))


def test_what_restarts_keep_from_being_parked_is_named_by_the_comparison(ours, theirs, axis):
    send(ours, "1")
    axis.unreadable.add(axis._deliveries[0].package)
    for _ in range(5):
        theirs = theirs.restarted()
        later(theirs, 1)
        done = theirs.reconcile()
    assert [each.what for each in done.differences] == ["not-taken"]
    assert axis._deliveries[0].state == "initial"


def test_an_order_that_was_overtaken_erases_nothing(ours, theirs, axis):
    parked = parked_arrival(ours, theirs, axis)
    order = order_of(parked)
    theirs.hub.order(OPERATOR, order)
    run(theirs.operators.resume("operator", new_request_id(), parked.relay_id))
    with pytest.raises(RelayNotOpen):
        theirs.hub.approve(SECOND_OPERATOR, second_operator.approval(order))
    assert theirs.hub.vault.has_key(parked.relay_id)


def test_how_it_stands_is_known_after_a_restart_too(ours, theirs, axis):
    assert run(theirs.operators.standing()).last is None
    parked_arrival(ours, theirs, axis)
    theirs.reconcile()
    for each in (theirs, theirs.restarted()):
        standing = run(each.operators.standing())
        parked = [tally for tally in standing.tallies if tally.state is RelayState.PARKED]
        assert [(tally.direction, tally.count) for tally in parked] == [(Direction.IN, 1)]
        assert standing.last.differences == 0
    assert run(ours.operators.standing()).ages.unanswered is not None
