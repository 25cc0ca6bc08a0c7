"""What is read back is what the catalogue says, field by field, and nothing else."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from eventsourcing.persistence import StoredEvent

from adapters.memory.determinism import CountedRandomness
from hub.application.mapper import ClosedMapper, UnreadableEvent, read_leaf
from hub.domain.agency import Agency
from hub.domain.aggregate import Aggregate
from hub.domain.approval import Approval
from hub.domain.catalogue import EVENTS
from hub.proof.leaf import encode_leaf, parse_leaf
from tests.support.builders import START
from tests.support.samples import sample_events

SAMPLES = sample_events()
EACH_EVENT = pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: type(sample).TOPIC)


@pytest.fixture
def mapper() -> ClosedMapper:
    return ClosedMapper(CountedRandomness())


def with_data(stored: StoredEvent, **changes: Any) -> StoredEvent:
    """The same row with other fields in its leaf; `...` takes one away."""
    event = parse_leaf(stored.state)
    data = {**event.data, **changes}
    data = {name: value for name, value in data.items() if value is not ...}
    return replace(stored, state=encode_leaf(replace(event, data=data)))


@EACH_EVENT
def test_an_event_comes_back_as_it_went_in(mapper, sample):
    back = mapper.to_domain_event(mapper.to_stored_event(sample))

    assert type(back) is type(sample)
    assert vars(back) == vars(sample)


@EACH_EVENT
def test_an_event_with_a_field_too_many_is_refused(mapper, sample):
    with pytest.raises(UnreadableEvent, match="fields"):
        mapper.to_domain_event(with_data(mapper.to_stored_event(sample), colour="red"))


@EACH_EVENT
def test_an_event_with_a_field_missing_is_refused(mapper, sample):
    stored = mapper.to_stored_event(sample)
    for name in parse_leaf(stored.state).data:
        with pytest.raises(UnreadableEvent, match="fields"):
            mapper.to_domain_event(with_data(stored, **{name: ...}))


@EACH_EVENT
def test_an_event_with_a_field_of_another_kind_is_refused(mapper, sample):
    stored = mapper.to_stored_event(sample)
    optional = {"relates_to", "expires_at"}
    if isinstance(sample, Approval.Created):
        optional |= {"exchange", "envelope_digest", "hub_key"}
    for name, value in parse_leaf(stored.state).data.items():
        others = [
            other for other in (None, "text", 7, True, [], {}) if type(other) is not type(value)
        ]
        refused = 0
        for other in others:
            if other is None and name in {"document", *optional}:
                continue
            if type(other) is str and name in optional:
                continue
            if type(other) is dict and name in {"renewal", "possession"}:
                continue  # Of a statement nothing but its being one is looked at.
            with pytest.raises(UnreadableEvent, match="another kind"):
                mapper.to_domain_event(with_data(stored, **{name: other}))
            refused += 1
        assert refused >= 4


@EACH_EVENT
def test_columns_that_say_something_else_than_the_leaf_are_refused(mapper, sample):
    stored = mapper.to_stored_event(sample)
    for change in (
        {"originator_id": uuid4()},
        {"originator_version": stored.originator_version + 1},
        {"topic": next(topic for topic in EVENTS if topic != stored.topic)},
        {"topic": "hub.Agency.Unknown"},
    ):
        with pytest.raises(UnreadableEvent, match="columns"):
            mapper.to_domain_event(replace(stored, **change))


def test_an_optional_field_may_be_there_or_not(mapper):
    (sample,) = (event for event in SAMPLES if type(event).TOPIC.endswith("DocumentSubmitted"))
    stored = mapper.to_stored_event(sample)

    for relates_to in (None, "00" * 32):
        changed = with_data(stored, relates_to=relates_to)
        assert mapper.to_domain_event(changed).relates_to == relates_to


def test_bytes_that_are_no_leaf_are_refused(mapper):
    stored = mapper.to_stored_event(SAMPLES[0])
    for state in (b"", b"{}", stored.state + b" ", stored.state[:-1], b"[]", b"\xff"):
        with pytest.raises(UnreadableEvent):
            mapper.to_domain_event(replace(stored, state=state))
        with pytest.raises(UnreadableEvent):
            read_leaf(state)


def test_an_event_that_is_not_catalogued_is_not_written(mapper):
    class Stray(Aggregate.Event):
        TOPIC = "hub.Stray.Happened"

    class Impostor(Aggregate.Event):
        TOPIC = Agency.Created.TOPIC

    for kind in (Stray, Impostor):
        event = kind(originator_id=uuid4(), originator_version=1, timestamp=START)
        with pytest.raises(UnreadableEvent, match="not in the catalogue"):
            mapper.to_stored_event(event)


def test_equal_events_have_different_leaves():
    """A leaf that could be guessed could be confirmed by the hash beside it in a proof."""
    mapper = ClosedMapper(CountedRandomness())
    leaves = {mapper.to_stored_event(SAMPLES[0]).state for _ in range(10)}
    nonces = {parse_leaf(leaf).nonce for leaf in leaves}

    assert (len(leaves), len(nonces)) == (10, 10)


def test_the_time_of_an_event_is_the_one_it_was_given(mapper):
    at = START + timedelta(microseconds=1)
    agency = Agency.register(
        agency_id=uuid4(), at=at, code="H01", name="Sở", by="operator", request_id="r"
    )
    (event,) = agency.collect_events()

    assert parse_leaf(mapper.to_stored_event(event).state).time == at
