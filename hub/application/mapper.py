"""Events to and from the exact bytes that are stored, hashed and proven.

The library's own mapper would import whatever module the `topic` column names, and would
take any fields it finds. This one reads only what the catalogue lists, field by field,
and believes the bytes, not the columns that index them.
"""

from __future__ import annotations

from dataclasses import fields, replace
from functools import lru_cache
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints, is_typeddict
from uuid import UUID

from eventsourcing.persistence import JSONTranscoder, Mapper, StoredEvent

from hub.application.ports import Randomness
from hub.domain.aggregate import Aggregate
from hub.domain.catalogue import AGGREGATES, EVENTS, upcast, version_of
from hub.errors import LedgerMismatch, VerificationFailed
from hub.proof.leaf import NONCE_BYTES, Event, encode_leaf, parse_leaf

# Of larger ones a thousand would take more memory than they are worth.
_REMEMBERED_BYTES_MAX = 8192
_LIBRARY_FIELDS = {"originator_id", "originator_version", "timestamp", "originator_topic"}


class UnreadableEvent(LedgerMismatch):
    """A stored event that this catalogue cannot have written."""


class ClosedMapper(Mapper[UUID]):
    """Maps catalogued events only."""

    def __init__(self, randomness: Randomness) -> None:
        super().__init__(JSONTranscoder())
        self._randomness = randomness

    def to_stored_event(self, domain_event: Any) -> StoredEvent:
        """The event with the leaf bytes it will be proven by. Each call makes a new nonce."""
        topic = type(domain_event).TOPIC
        if EVENTS.get(topic) is not type(domain_event):
            raise UnreadableEvent(f"{type(domain_event).__qualname__} is not in the catalogue")
        event = Event(
            topic=topic,
            schema=version_of(type(domain_event)),
            id=domain_event.originator_id,
            version=domain_event.originator_version,
            time=domain_event.timestamp,
            nonce=self._randomness(NONCE_BYTES),
            data={name: getattr(domain_event, name) for name in _declared(topic)},
        )
        # Read back by what lists and answers read it with next: so it is read once.
        leaf = encode_leaf(event, read_event)
        return StoredEvent(
            originator_id=domain_event.originator_id,
            originator_version=domain_event.originator_version,
            topic=topic,
            state=leaf,
        )

    def to_domain_event(self, stored_event: StoredEvent) -> Any:
        """The event in the leaf, if the columns beside it say the same."""
        event = read_leaf(stored_event.state)
        columns = (
            stored_event.originator_id,
            stored_event.originator_version,
            stored_event.topic,
        )
        if columns != (event.id, event.version, event.topic):
            raise UnreadableEvent(
                f"the columns of event {stored_event.originator_id}"
                f"/{stored_event.originator_version} say something else than its bytes"
            )
        return _instance(event)


def read_event(leaf: bytes) -> Event:
    """The event in a leaf in the form of today, whatever form it was written in.

    `schema` and `data` are those of the newest version; the bytes stay what is hashed. Raises
    VerificationFailed for what is no leaf, UnreadableEvent for an event or a version of it
    that this catalogue does not list.

    The newest events are remembered by their bytes, and shared: nobody may change their data.
    """
    return _remembered(leaf) if len(leaf) <= _REMEMBERED_BYTES_MAX else read_once(leaf)


def read_once(leaf: bytes) -> Event:
    """As `read_event`, for a long walk through a log: nothing of it is remembered."""
    event = parse_leaf(leaf)
    if event.topic not in EVENTS:
        raise UnreadableEvent(f"no event is called {event.topic!r}")
    newest = version_of(EVENTS[event.topic])
    if event.schema == newest:
        return event
    try:
        data = upcast(event.topic, event.schema, event.data)
    except LookupError as error:
        raise UnreadableEvent(str(error.args[0])) from error
    return replace(event, schema=newest, data=data)


# What a batch records is read three times within milliseconds: when it is written, for the lists
# and for the answers.
_remembered = lru_cache(maxsize=1024)(read_once)


def read_leaf(leaf: bytes) -> Event:
    """The event in a leaf, as `read_event`, checked against the catalogue field by field.

    Raises UnreadableEvent.
    """
    try:
        event = read_once(leaf)
    except VerificationFailed as error:
        raise UnreadableEvent(str(error)) from error
    declared = _declared(event.topic)
    if event.data.keys() != declared.keys():
        raise UnreadableEvent(f"{event.topic}: its fields are not those of the catalogue")
    for name, kinds in declared.items():
        if type(event.data[name]) not in kinds:
            raise UnreadableEvent(f"{event.topic}: {name} is of another kind")
    return event


def _instance(event: Event) -> Any:
    event_class = EVENTS[event.topic]
    state = dict(event.data)
    state["originator_id"] = event.id
    state["originator_version"] = event.version
    state["timestamp"] = event.time
    if event.topic in _AGGREGATE_TOPICS:
        state["originator_topic"] = _AGGREGATE_TOPICS[event.topic]
    instance = object.__new__(event_class)
    object.__setattr__(instance, "__dict__", state)
    return instance


@lru_cache
def _declared(topic: str) -> dict[str, frozenset[type]]:
    """The fields our code declared for an event, each with the Python types it may have."""
    event_class = EVENTS[topic]
    hints = get_type_hints(event_class)
    return {
        field.name: _kinds(hints[field.name])
        for field in fields(event_class)
        if field.name not in _LIBRARY_FIELDS
    }


def _kinds(hint: Any) -> frozenset[type]:
    if get_origin(hint) in (Union, UnionType):
        return frozenset().union(*(_kinds(part) for part in get_args(hint)))
    if is_typeddict(hint):
        return frozenset({dict})
    return frozenset({get_origin(hint) or hint})


# The events an aggregate begins with; it may have several kinds of them.
_AGGREGATE_TOPICS = {
    topic: aggregate.TOPIC
    for topic, event_class in EVENTS.items()
    if issubclass(event_class, Aggregate.Created)
    for aggregate in AGGREGATES
    if event_class.__qualname__.startswith(f"{aggregate.__qualname__}.")
}
