"""Real recipients skip steps, repeat them, and report out of order."""

import itertools
from typing import Any
from uuid import UUID

import pytest

from hub.domain.delivery import STATE_OF_CODE, Delivery, DeliveryState, delivery_id
from tests.support.builders import START

EXCHANGE = UUID("01890000-0000-7000-8000-000000000001")
CODES = sorted(STATE_OF_CODE)


def facts(**more: Any) -> dict[str, Any]:
    return {
        "exchange": str(EXCHANGE),
        "agency": "H02",
        "request_id": "r",
        "envelope_digest": "d",
        "statement": {},
        "enrolment": 0,
        "warnings": [],
        **more,
    }


def delivery(*steps: str) -> Delivery:
    """A delivery after these steps: `collect`, or a status code."""
    made = Delivery.begin(EXCHANGE, "H02", START)
    for step in steps:
        if step == "collect":
            made.hand_over(at=START, **facts())
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
