"""The catalogue is closed: what is not listed is neither written nor read."""

import sys
from inspect import getmembers, isclass
from typing import Any
from uuid import uuid4

import pytest
from eventsourcing.domain import Aggregate as LibraryAggregate
from eventsourcing.persistence import StoredEvent

from adapters.memory.determinism import CountedRandomness
from hub.application.mapper import ClosedMapper, UnreadableEvent
from hub.domain.aggregate import Aggregate
from hub.domain.audit_trail import AuditTrail
from hub.domain.axis_link import AxisLink
from hub.domain.catalogue import AGGREGATES, EVENTS, REGISTRY_TOPICS
from hub.domain.delivery import Delivery
from hub.domain.group import Group
from hub.domain.relay import Relay
from tests.support.builders import START

# They begin with whatever happens to them first.
WITHOUT_FIRST = {AuditTrail, AxisLink, Delivery, Group, Relay}


def events_of(aggregate: type[Any]) -> set[type[Any]]:
    """Every event class nested in an aggregate, but not the bases they stand on."""
    return {
        member
        for _, member in getmembers(aggregate, isclass)
        if issubclass(member, LibraryAggregate.Event)
        and member.__qualname__.startswith(aggregate.__qualname__ + ".")
        # The library gives each aggregate a base of its own, and one for a missing Created.
        and member.__name__ != "Event"
        and not (aggregate in WITHOUT_FIRST and member.__name__ == "Created")
    }


NESTED = [
    (aggregate, event)
    for aggregate in AGGREGATES
    for event in sorted(events_of(aggregate), key=lambda event: event.__qualname__)
]


def test_every_subclass_of_aggregate_is_listed():
    assert set(Aggregate.__subclasses__()) >= set(AGGREGATES)
    ours = {each for each in Aggregate.__subclasses__() if each.__module__.startswith("hub.")}
    assert ours == set(AGGREGATES)


def test_every_nested_event_stands_in_the_catalogue_exactly_once():
    assert sorted(event.TOPIC for _, event in NESTED) == sorted(EVENTS)
    assert {event for _, event in NESTED} == set(EVENTS.values())
    assert len(set(EVENTS.values())) == len(EVENTS)


@pytest.mark.parametrize("event", [event for _, event in NESTED], ids=lambda e: e.__qualname__)
def test_every_event_has_a_topic_of_its_own(event):
    # The library puts a subclass of the same name in the place of the class we wrote.
    says_so = next(base for base in event.__mro__ if "TOPIC" in vars(base))
    assert says_so.__qualname__ == event.__qualname__, "it would be recorded as its base"
    assert EVENTS[event.TOPIC] is event
    assert event.TOPIC.startswith("hub.")
    assert event.__doc__


@pytest.mark.parametrize("aggregate", [Aggregate, *AGGREGATES], ids=lambda a: a.__name__)
def test_no_base_of_an_event_has_a_topic(aggregate):
    assert not hasattr(aggregate.Event, "TOPIC")
    if aggregate is Aggregate:
        assert not hasattr(aggregate.Created, "TOPIC")


def test_the_registry_topics_are_events():
    assert EVENTS.keys() > REGISTRY_TOPICS
    kept = {"Agency", "Principal", "HubKey", "Group"}
    of_the_log = {
        *("CalendarCorrected", "RevocationEvidenceStored"),
        *("LogFrozen", "LogThawed", "TrustedRootPublished"),
    }
    others = (
        REGISTRY_TOPICS
        - {f"hub.Log.{name}" for name in of_the_log}
        - {"hub.Relay.DirectorySynchronised"}
    )
    assert all(topic.split(".")[1] in kept for topic in others)
    assert "hub.Agency.SubmissionRefused" not in REGISTRY_TOPICS


@pytest.mark.parametrize("topic", ["antigravity:Created", "hub.Agency.AgencyDissolved", "this"])
def test_a_row_with_an_unknown_topic_is_refused_and_imports_nothing(topic):
    before = set(sys.modules)

    with pytest.raises(UnreadableEvent):
        ClosedMapper(CountedRandomness()).to_domain_event(StoredEvent(uuid4(), 1, topic, b"{}"))

    assert set(sys.modules) == before


def test_an_event_without_its_time_cannot_be_made():
    with pytest.raises(RuntimeError, match="without its time"):
        Delivery.begin(uuid4(), "H02", START).trigger_event(Delivery.StatusReported)
