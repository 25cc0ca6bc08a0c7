"""An agency renamed, suspended, reinstated, succeeded: recorded once, and in force at once."""

import pytest

from hub.application.agencies import RegisterAgency
from hub.application.agency_changes import (
    ReinstateAgency,
    RenameAgency,
    SucceedAgency,
    SuspendAgency,
)
from hub.domain.agency import OTHER_CODES_MAX
from hub.errors import HubError
from hub.proof.leaf import parse_leaf
from tests.support.agencies import changes_of, register, reinstate, rename, succeed, suspend
from tests.support.builders import (
    AGENCIES,
    OPERATOR,
    OTHER,
    RECIPIENT,
    SENDER,
    MemoryHub,
    check_whole,
    new_hub,
    new_request_id,
    run,
)

OLD_CODE = "000.00.01.H53"


@pytest.fixture
def hub() -> MemoryHub:
    return new_hub()


def reason_of(hub: MemoryHub, command) -> str:
    before = hub.log.head()
    (outcome,) = hub.process(command)
    assert isinstance(outcome, HubError), outcome
    assert hub.log.head() == before, "a refusal leaves no trace"
    return outcome.reason


def commands(request_id: str) -> list:
    return [
        RegisterAgency(OPERATOR, request_id, "H77", "Sở Mới", (OLD_CODE,)),
        RenameAgency(OPERATOR, request_id, SENDER, "Tên mới", (OLD_CODE,), ()),
        SuspendAgency(OPERATOR, request_id, SENDER, "by-order"),
        SucceedAgency(OPERATOR, request_id, SENDER, RECIPIENT),
    ]


# --- What is recorded ---------------------------------------------------------------------


def test_each_change_is_one_fact_of_the_agency(hub):
    steps = [
        rename(hub, SENDER, "Tên mới", add=(OLD_CODE,)),
        suspend(hub, SENDER, "dissolved"),
        reinstate(hub, SENDER),
        succeed(hub, SENDER, RECIPIENT),
    ]
    events = [parse_leaf(step.receipt.leaf) for step in steps]

    assert [event.topic.rpartition(".")[2] for event in events] == [
        "AgencyRenamed",
        "AgencySuspended",
        "AgencyReinstated",
        "AgencySucceededBy",
    ]
    assert {event.id for event in events} == {hub.engine.registry.agencies[SENDER].agency_id}
    said = [
        {name: event.data[name] for name in event.data if name not in {"by", "request_id"}}
        for event in events
    ]
    assert said == [
        {"agency": SENDER, "name": "Tên mới", "other_codes": [OLD_CODE]},
        {"agency": SENDER, "reason": "dissolved"},
        {"agency": SENDER},
        {"agency": SENDER, "successor": RECIPIENT},
    ]
    assert hub.engine.registry.version == steps[-1].position
    check_whole(hub)


def test_the_register_says_the_same_after_a_restart(hub):
    register(hub, "H77", OLD_CODE)
    rename(hub, "H77", "Sở Mới", add=("H77.1",), remove=(OLD_CODE,))
    suspend(hub, OTHER)
    succeed(hub, SENDER, RECIPIENT)

    restarted = hub.restarted()

    assert restarted.engine.registry == hub.engine.registry
    entry = restarted.engine.registry.agencies["H77"]
    assert (entry.name, entry.other_codes) == ("Sở Mới", ("H77.1",))
    assert restarted.engine.registry.agencies[OTHER].suspended
    assert restarted.engine.registry.receiver(SENDER).code == RECIPIENT
    check_whole(restarted)


@pytest.mark.parametrize("number", range(4))
def test_the_same_call_gets_the_same_answer_and_another_under_its_id_is_refused(hub, number):
    request_id = new_request_id()
    command = commands(request_id)[number]
    (first,) = hub.done(command)

    assert hub.done(command) == [first]
    assert hub.done(commands(request_id)[number]) == [first]
    for other in commands(request_id):
        if other != command:
            assert reason_of(hub, other) == "REQUEST_ID_REUSED"


def test_codes_added_and_codes_removed_are_not_taken_for_each_other(hub):
    register(hub, "H77", "A.1", "A.2")
    adding = RenameAgency(OPERATOR, new_request_id(), "H77", "", ("A.3", "A.4"), ())
    both = RenameAgency(OPERATOR, adding.request_id, "H77", "", ("A.3",), ("A.4",))
    hub.done(adding)

    assert reason_of(hub, both) == "REQUEST_ID_REUSED"


# --- What is refused ----------------------------------------------------------------------


def test_a_code_has_one_agency(hub):
    register(hub, "H77", OLD_CODE)
    for taken in (SENDER, "H77", OLD_CODE):
        assert reason_of(hub, RegisterAgency(OPERATOR, new_request_id(), taken, "x")) == (
            "AGENCY_EXISTS"
        )
        adding = RegisterAgency(OPERATOR, new_request_id(), "H88", "x", ("H88.1", taken))
        assert reason_of(hub, adding) == "AGENCY_EXISTS"
        renaming = RenameAgency(OPERATOR, new_request_id(), RECIPIENT, "", (taken,), ())
        assert reason_of(hub, renaming) == "AGENCY_EXISTS"
    check_whole(hub)


def test_of_two_commands_in_one_batch_the_first_gets_the_code(hub):
    one = RegisterAgency(OPERATOR, new_request_id(), "H77", "x", (OLD_CODE,))
    two = RenameAgency(OPERATOR, new_request_id(), RECIPIENT, "", (OLD_CODE,), ())

    first, second = hub.process(one, two)

    assert first.position
    assert second.reason == "AGENCY_EXISTS"
    assert hub.engine.registry.owner(OLD_CODE).code == "H77"
    check_whole(hub)


def test_a_removed_code_leads_nowhere_and_is_free_again(hub):
    register(hub, "H77", OLD_CODE)
    rename(hub, "H77", remove=(OLD_CODE,))
    assert hub.engine.registry.owner(OLD_CODE) is None

    rename(hub, RECIPIENT, add=(OLD_CODE,))

    assert hub.engine.registry.owner(OLD_CODE).code == RECIPIENT
    check_whole(hub)


@pytest.mark.parametrize(
    ("add", "remove", "reason"),
    [
        (("A.1", "A.1"), (), "REQUEST_MALFORMED"),
        ((), ("A.1",), "REQUEST_MALFORMED"),
        ((), (SENDER,), "REQUEST_MALFORMED"),
        (tuple(f"A.{n}" for n in range(OTHER_CODES_MAX + 1)), (), "TOO_LARGE"),
    ],
)
def test_codes_that_make_no_sense_are_refused(hub, add, remove, reason):
    command = RenameAgency(OPERATOR, new_request_id(), SENDER, "", add, remove)

    assert reason_of(hub, command) == reason


def test_registering_twice_under_one_code_is_refused(hub):
    for others in (("H77",), ("A.1", "A.1")):
        command = RegisterAgency(OPERATOR, new_request_id(), "H77", "x", others)
        assert reason_of(hub, command) == "REQUEST_MALFORMED"


def test_an_operator_names_agencies_by_their_primary_code(hub):
    rename(hub, SENDER, add=(OLD_CODE,))
    for code in (OLD_CODE, "H-NOBODY"):
        for command in (
            RenameAgency(OPERATOR, new_request_id(), code, "x", (), ()),
            SuspendAgency(OPERATOR, new_request_id(), code, "by-order"),
            ReinstateAgency(OPERATOR, new_request_id(), code),
            SucceedAgency(OPERATOR, new_request_id(), code, RECIPIENT),
            SucceedAgency(OPERATOR, new_request_id(), RECIPIENT, code),
        ):
            assert reason_of(hub, command) == "AGENCY_UNKNOWN"


def test_nobody_is_suspended_or_reinstated_twice(hub):
    again = SuspendAgency(OPERATOR, new_request_id(), SENDER, "key-compromised")
    back = ReinstateAgency(OPERATOR, new_request_id(), SENDER)

    assert reason_of(hub, back) == "AGENCY_NOT_SUSPENDED"
    suspend(hub, SENDER)
    assert reason_of(hub, again) == "AGENCY_SUSPENDED"
    hub.done(back)
    assert not hub.engine.registry.agencies[SENDER].suspended
    hub.done(again)
    check_whole(hub)


def test_a_succession_makes_no_ring_and_no_fork(hub):
    def attempt(code, successor):
        command = SucceedAgency(OPERATOR, new_request_id(), code, successor)
        return reason_of(hub, command)

    assert attempt(SENDER, SENDER) == "REQUEST_MALFORMED"
    succeed(hub, SENDER, RECIPIENT)
    assert attempt(SENDER, OTHER) == "AGENCY_SUCCEEDED"
    assert attempt(RECIPIENT, SENDER) == "AGENCY_SUCCEEDED"
    succeed(hub, RECIPIENT, OTHER)
    assert attempt(OTHER, SENDER) == attempt(OTHER, RECIPIENT) == "AGENCY_SUCCEEDED"
    assert {hub.engine.registry.receiver(code).code for code in AGENCIES} == {OTHER}
    check_whole(hub)


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda c: c.rename("o", "r", code=SENDER, name="", add_codes=(), remove_codes=()), "name"),
        (
            lambda c: c.rename("o", "r", code=SENDER, name="a\n", add_codes=(), remove_codes=()),
            "name",
        ),
        (
            lambda c: c.rename("o", "r", code=SENDER, name="", add_codes=["a b"], remove_codes=()),
            "add_codes",
        ),
        (lambda c: c.suspend("o", "r", code=SENDER, reason=""), "reason"),
        (lambda c: c.suspend("o", "r", code=SENDER, reason="Ông A bị kỷ luật"), "reason"),
        (lambda c: c.suspend("o", "r", code=SENDER, reason="a" * 41), "reason"),
    ],
)
def test_a_malformed_call_is_refused_before_the_lane(hub, call, field):
    with pytest.raises(HubError) as refusal:
        run(call(changes_of(hub)))

    assert refusal.value.reason == "REQUEST_MALFORMED"
    assert refusal.value.metadata["field"] == field
