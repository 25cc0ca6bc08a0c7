"""Real recipients skip steps, repeat them, and report out of order."""

import itertools
from typing import Any
from uuid import UUID

import pytest

from hub.domain.delivery import (
    STATE_OF_CODE,
    Delivery,
    DeliveryState,
    RecallState,
    delivery_id,
)
from hub.errors import ContentWithheld, RecallNotOpen
from tests.support.builders import START

EXCHANGE = UUID("01890000-0000-7000-8000-000000000001")
CODES = sorted(STATE_OF_CODE)


def facts(**more: Any) -> dict[str, Any]:
    return {
        "exchange": str(EXCHANGE),
        "agency": "H02",
        "sender": "H01",
        "outbox_seq": 1,
        "request_id": "r",
        "envelope_digest": "d",
        "statement": {},
        "enrolment": 0,
        "warnings": [],
        **more,
    }


def expiry() -> dict[str, Any]:
    said = {"request_id", "statement", "enrolment", "warnings"}
    kept = {name: value for name, value in facts().items() if name not in said}
    return kept | {"inbox_seq": 2, "expires_at": "2026-11-24T00:00:00+00:00"}


def delivery(*steps: str) -> Delivery:
    """A delivery after these steps: `collect`, `expire`, or a code."""
    made = Delivery.begin(EXCHANGE, "H02", START)
    for step in steps:
        if step == "collect":
            made.hand_over(at=START, **facts())
        elif step == "expire":
            made.expire(at=START, **expiry())
        elif step in {"15", "16"}:
            made.answer_recall(at=START, **facts(code=step))
        else:
            made.report(at=START, **facts(code=step))
    return made


def test_a_delivery_begins_with_nothing_said():
    begun = delivery()

    assert (begun.state, begun.collected, begun.version) == (DeliveryState.CONSIGNED, False, 0)
    assert begun.id == delivery_id(EXCHANGE, "H02")
    assert begun.collect_events() == []


def test_the_usual_way_goes_up_the_ladder():
    steps = ["collect", "01", "03", "04", "05", "06"]

    states = [delivery(*steps[:count]).state for count in range(len(steps) + 1)]

    assert [state.name for state in states] == [
        "CONSIGNED",
        "COLLECTED",
        "ARRIVED",
        "ACCEPTED",
        "ASSIGNED",
        "PROCESSING",
        "FINISHED",
    ]


@pytest.mark.parametrize("first", ["collect", *CODES])
def test_it_begins_with_whatever_is_said_first(first):
    begun = delivery(first)

    assert begun.state == STATE_OF_CODE.get(first, DeliveryState.COLLECTED)
    assert [event.originator_version for event in begun.collect_events()] == [1]


@pytest.mark.parametrize("steps", list(itertools.permutations(["collect", "01", "03", "05"])))
def test_order_does_not_matter(steps):
    assert delivery(*steps).state == DeliveryState.PROCESSING
    assert delivery(*steps).collected


@pytest.mark.parametrize(("one", "other"), list(itertools.product(CODES, CODES)))
def test_a_later_state_never_gives_way_to_an_earlier_one(one, other):
    assert delivery(one, other).state == max(STATE_OF_CODE[one], STATE_OF_CODE[other])


@pytest.mark.parametrize("step", ["collect", *CODES])
def test_a_repeated_step_is_recorded_again_and_changes_nothing(step):
    twice = delivery(step, step)

    assert twice.state == delivery(step).state
    assert len(twice.collect_events()) == 2


def test_a_status_does_not_count_as_taking_delivery():
    assert not delivery("01", "06").collected
    assert delivery("06", "collect").collected
    assert delivery("06", "collect").state == DeliveryState.FINISHED


def test_each_recipient_has_a_delivery_of_its_own():
    others = {delivery_id(EXCHANGE, code) for code in ("H02", "H03", "H02.1")}

    assert len(others) == 3
    assert delivery_id(EXCHANGE, "H02") == delivery_id(EXCHANGE, "H02")


# --- Recall and expiry ----------------------------------------------------------------------

R, W = "released", "withheld"


@pytest.mark.parametrize(
    ("steps", "unrecalled", "recalled"),
    [
        ([], R, W),
        (["01", "06"], R, W),
        (["collect"], R, R),
        (["expire"], W, W),
        (["16"], R, R),
        (["15"], W, W),
        # What was collected before stays released to whoever did not give it back.
        (["collect", "16"], R, R),
        (["collect", "15"], W, W),
        (["expire", "16"], W, W),
        (["expire", "15"], W, W),
    ],
)
def test_content_is_withheld_from_who_did_not_collect_in_time_or_gave_it_back(
    steps, unrecalled, recalled
):
    for asked, expected in ((False, unrecalled), (True, recalled)):
        try:
            delivery(*steps).require_released(recalled=asked)
            outcome = R
        except ContentWithheld:
            outcome = W
        assert outcome == expected, f"recalled: {asked}"


@pytest.mark.parametrize("steps", [[], ["collect"], ["01", "06"], ["expire"]])
def test_a_recall_is_answered_in_whatever_state_the_document_is(steps):
    delivery(*steps).require_recall_open(recalled=True)
    with pytest.raises(RecallNotOpen):
        delivery(*steps).require_recall_open(recalled=False)


@pytest.mark.parametrize("answer", ["15", "16"])
def test_a_recall_is_answered_once(answer):
    with pytest.raises(RecallNotOpen):
        delivery(answer).require_recall_open(recalled=True)


@pytest.mark.parametrize(
    ("answer", "recall"), [("15", RecallState.AGREED), ("16", RecallState.REFUSED)]
)
def test_an_answer_or_an_expiry_changes_no_state(answer, recall):
    for steps in ([], ["collect"], ["06"]):
        before, after = delivery(*steps), delivery(*steps, answer, "expire")
        assert (after.state, after.collected) == (before.state, before.collected)
        assert (after.recall, after.expired) == (recall, True)


def test_statements_are_recorded_after_a_recall_and_after_an_expiry():
    made = delivery("expire", "01", "15", "02")

    assert made.state == DeliveryState.REFUSED
    assert [event.originator_version for event in made.collect_events()] == [1, 2, 3, 4]


@pytest.mark.parametrize("steps", [("collect", "15"), ("expire", "16", "03"), ("15", "expire")])
def test_a_delivery_made_again_from_its_facts_is_the_same(steps):
    decided = delivery(*steps)
    again = Delivery.begin(EXCHANGE, "H02", START)
    for event in decided.collect_events():
        event.mutate(again)

    def remembered(each: Delivery) -> dict[str, Any]:
        return {name: value for name, value in vars(each).items() if name != "_pending_events"}

    assert remembered(again) == remembered(decided)
