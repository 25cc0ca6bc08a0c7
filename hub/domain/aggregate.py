"""What all our aggregates share: facts get their time from whoever decides, never from a clock."""

from __future__ import annotations

from hashlib import sha256
from typing import NoReturn, NotRequired, TypedDict
from uuid import UUID

from eventsourcing.domain import Aggregate as LibraryAggregate


class StatementRecord(TypedDict):
    """A signed statement as events remember it: by digest, with the signature itself.

    `digest` is SHA-256 of the payload in hexadecimal, `signature` is base64. `by_agency` is
    there only where a successor signed for the agency the event names.
    """

    payload_type: str
    digest: str
    key_id: str
    algorithm: str
    signature: str
    by_agency: NotRequired[str]


class Aggregate(LibraryAggregate):
    """An event-sourced aggregate.

    A public method checks and refuses, once; a private `_apply_…` only assigns, and runs
    again on every replay. Every event class carries its own TOPIC and stands in
    `catalogue.py`. The base has none: an event that forgot its own would silently be
    recorded under the base's name.
    """

    class Event(LibraryAggregate.Event):
        """A fact."""

        @staticmethod
        def create_timestamp() -> NoReturn:
            """Refuse: the time of a fact is handed in as `timestamp`."""
            raise RuntimeError("an event was made without its time")

    class Created(Event, LibraryAggregate.Created):
        """The first fact of an aggregate."""


def derived_id(parent: UUID, purpose: bytes) -> UUID:
    """A UUIDv8 (RFC 9562) that is always the same for a parent UUIDv7 and a purpose.

    It keeps the parent's 48 bits of time, so that the index over aggregates stays in
    order of time; the rest is hashed.
    """
    digest = sha256(parent.bytes + purpose).digest()
    value = bytearray(parent.bytes[:6] + digest[:10])
    value[6] = 0x80 | (value[6] & 0x0F)
    value[8] = 0x80 | (value[8] & 0x3F)
    return UUID(bytes=bytes(value))
