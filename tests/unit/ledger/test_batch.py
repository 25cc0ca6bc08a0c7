"""One batch: decided in turn, each command by itself, committed once."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from hub.application.agencies import RegisterAgency
from hub.application.lane import Recorded
from hub.application.ports import RequestKey
from hub.domain.agency import Agency
from hub.domain.refusal import Refusal
from hub.errors import HubError, Overloaded, RequestIdReused
from hub.proof.leaf import parse_leaf
from tests.support.builders import (
    OPERATOR,
    OTHER,
    RECIPIENT,
    SENDER,
    START,
    MemoryHub,
    Party,
    check_whole,
    new_hub,
    new_request_id,
)
from tests.support.commands import collect_command, status_command, submit_command

sender, recipient = Party(SENDER), Party(RECIPIENT)


@dataclass
class Half:
    """Does half of everything a command can do, and then fails."""

    failure: Exception
    agency: str = SENDER
    request: RequestKey | None = None

    def decide(self, session: Any) -> None:
        entry = session.registry.agencies[self.agency]
        agency = session.history.agency(entry.agency_id)
        session.next_inbox_seqs([RECIPIENT, OTHER])
        session.add_document_key(session.new_id(), bytes(32))
        newcomer = Agency.register(
            agency_id=session.new_id(), at=session.at, code="H99", name="x", by="x", request_id="x"
        )
        session.record(newcomer, RequestKey(SENDER, "half", bytes(32)))
        agency.enrol(
            at=session.at,
            purpose="transport",
            algorithm="",
            key_id="half",
            certificate="00" * 32,
            not_before="2026-01-01T00:00:00.000000Z",
            not_after="2026-01-01T00:00:00.000000Z",
            by="x",
            request_id="y",
        )
        session.record(agency)
        raise self.failure


@dataclass
class Several:
    """Records more than one fact; the first of them answers."""

    count: int
    request: RequestKey | None = None

    def decide(self, session: Any) -> None:
        for _ in range(self.count):
            session.record(
                Refusal.record(
                    refusal_id=session.new_id(),
                    at=session.at,
                    agency=SENDER,
                    reason="KEY_UNKNOWN",
                    payload_type="t",
                    digest="00" * 32,
                )
            )


@pytest.fixture
def hub() -> MemoryHub:
    return new_hub()


def register(code: str, request_id: str | None = None) -> RegisterAgency:
    return RegisterAgency(OPERATOR, request_id or new_request_id(), code, "Sở Mới")


def seqs(hub: MemoryHub, agency: str) -> list[int]:
    return [line.seq for line, *_ in hub.views.inbox(agency, 0, 999)]


# --- Refused, and unforeseen --------------------------------------------------------------


@pytest.mark.parametrize(
    "failure", [Overloaded("no"), RuntimeError("a bug")], ids=["refused", "unforeseen"]
)
def test_a_command_that_fails_halfway_leaves_nothing(hub, failure):
    before = len(hub.events())

    assert hub.process(Half(failure)) == [failure]

    assert len(hub.events()) == before
    assert "H99" not in hub.engine.registry.agencies
    hub.enrol(Party(SENDER, key_name="fresh"))
    check_whole(hub)


@pytest.mark.parametrize(
    "failure", [Overloaded("no"), RuntimeError("a bug")], ids=["refused", "unforeseen"]
)
def test_a_command_that_fails_does_not_take_its_neighbours_with_it(hub, failure):
    first, second = sender.envelope(), sender.envelope(RECIPIENT, OTHER)
    commands = [
        submit_command(hub, sender, first),
        hub.enrolment(Party(SENDER, key_name="fresh")),
        Half(failure),
        submit_command(hub, sender, second),
        Half(failure),
        register("H99"),
    ]

    outcomes = hub.process(*commands)

    assert [getattr(outcome, "position", outcome) for outcome in outcomes] == [
        10,
        11,
        failure,
        12,
        failure,
        13,
    ]
    assert (seqs(hub, RECIPIENT), seqs(hub, OTHER)) == ([1, 2], [1])
    check_whole(hub)
    check_whole(hub.restarted())


def test_a_batch_of_failures_commits_nothing(hub):
    size = hub.receipts.size

    outcomes = hub.process(*(Half(Overloaded("no")) for _ in range(3)))

    assert [type(outcome) for outcome in outcomes] == [Overloaded] * 3
    assert hub.receipts.size == size
    check_whole(hub)


def test_an_empty_batch_is_nothing(hub):
    assert hub.process() == []
    check_whole(hub)


# --- Earlier ones of the same batch -------------------------------------------------------


def test_later_commands_see_what_earlier_ones_decided(hub):
    one, two = register("H77"), register("H77")
    fresh = Party("H77", key_name="fresh")

    registered, refused, enrolled = hub.process(one, two, hub.enrolment(fresh))

    assert refused.reason == "AGENCY_EXISTS"
    assert enrolled.position == registered.position + 1
    check_whole(hub)


def test_inbox_numbers_run_on_within_a_batch(hub):
    envelopes = [sender.envelope(RECIPIENT, *([OTHER] if n % 2 else [])) for n in range(9)]

    hub.done(*(submit_command(hub, sender, envelope) for envelope in envelopes))
    hub.done(*(submit_command(hub, sender, sender.envelope(OTHER)) for _ in range(2)))

    assert seqs(hub, RECIPIENT) == list(range(1, 10))
    assert seqs(hub, OTHER) == list(range(1, 7))
    check_whole(hub)


def test_what_is_said_of_one_delivery_in_one_batch_is_one_history(hub):
    envelope = sender.envelope()
    hub.submit(SENDER, envelope)
    commands = [
        status_command(hub, recipient, envelope, "01"),
        collect_command(hub, recipient, envelope),
        status_command(hub, recipient, envelope, "06"),
    ]

    recorded = hub.done(*commands)

    versions = [parse_leaf(each.receipt.leaf).version for each in recorded]
    assert versions == [1, 2, 3]
    hub.done(status_command(hub.restarted(), recipient, envelope, "05"))
    check_whole(hub)


def test_the_same_request_twice_in_a_batch_is_one_event_at_one_position(hub):
    envelope = sender.envelope()
    commands = [submit_command(hub, sender, envelope) for _ in range(3)]

    outcomes = hub.done(*commands, *commands)

    assert {outcome.position for outcome in outcomes} == {10}
    assert outcomes == [outcomes[0]] * 6
    assert seqs(hub, RECIPIENT) == [1]
    check_whole(hub)


def test_the_same_request_id_with_two_payloads_in_a_batch_is_the_first_ones(hub):
    first = register("H77")
    second = register("H78", first.request_id)

    outcomes = hub.process(first, second, first)

    assert outcomes[0] == outcomes[2]
    assert isinstance(outcomes[1], RequestIdReused)
    assert outcomes[1].metadata["first_digest"] == first.request.digest.hex()
    check_whole(hub)


def test_a_request_that_was_refused_can_be_accepted_later_in_the_batch(hub):
    envelope = sender.envelope("H77")
    command = submit_command(hub, sender, envelope)

    refused, _, accepted = hub.process(command, register("H77"), command)

    assert refused.reason == "RECIPIENT_UNKNOWN"
    assert isinstance(accepted, Recorded)
    check_whole(hub)


def test_old_and_new_requests_are_answered_in_their_places(hub):
    old, new = register("H77"), register("H78")
    (first,) = hub.done(old)

    outcomes = hub.done(new, old, new)

    assert [outcome.position for outcome in outcomes] == [11, 10, 11]
    assert outcomes[1] == first


def test_the_first_of_several_facts_answers(hub):
    outcomes = hub.done(Several(3), Several(1), Several(2))

    assert [outcome.position for outcome in outcomes] == [10, 13, 14]
    assert len(hub.events()) == 16
    check_whole(hub)


def test_the_largest_batch_has_one_checkpoint(hub):
    before = len(list(hub.stores.tree.checkpoints()))

    outcomes = hub.done(*(submit_command(hub, sender, sender.envelope()) for _ in range(256)))

    assert [outcome.position for outcome in outcomes] == list(range(10, 266))
    assert len(list(hub.stores.tree.checkpoints())) == before + 1
    check_whole(hub)


# --- Time ---------------------------------------------------------------------------------


def times(hub: MemoryHub) -> list[Any]:
    return [event.time for event in hub.events()[10:]]


def test_event_time_never_goes_back_when_the_clock_does(hub):
    steps = [0, 5, -3600, 3, 3590, -1, 10]
    for step in steps:
        hub.clock.advance(timedelta(seconds=step))
        hub.done(register(f"N{hub.receipts.size}"))

    seconds = [(at - START).total_seconds() for at in times(hub)]
    assert seconds == [0, 5, 5, 5, 5, 5, 7]
    hub.clock.advance(timedelta(hours=2))
    hub.done(register("H77"))
    assert times(hub)[-1] == hub.clock()
    check_whole(hub)


def test_event_time_does_not_go_back_over_a_restart_either(hub):
    hub.clock.advance(timedelta(hours=1))
    hub.done(register("H77"))
    hub.clock.advance(timedelta(hours=-2))

    hub = hub.restarted()
    hub.done(register("H78"))

    assert times(hub) == [START + timedelta(hours=1)] * 2
    check_whole(hub)


# --- Receipts -----------------------------------------------------------------------------


def test_a_receipt_is_the_same_from_the_batch_from_the_book_and_after_a_restart(hub):
    given = []
    for count in (1, 3, 7, 1, 30):
        given += hub.done(*(register(f"N{hub.receipts.size}-{n}") for n in range(count)))

    again = hub.restarted()
    for recorded in given:
        assert hub.receipts.receipt(recorded.position) == recorded
        assert again.receipts.receipt(recorded.position) == recorded
    check_whole(hub)


def test_beyond_the_log_there_is_no_receipt(hub):
    for position in (10, 2**40):
        with pytest.raises(HubError) as refusal:
            hub.receipts.receipt(position)
        assert refusal.value.reason == "POSITION_UNKNOWN"
