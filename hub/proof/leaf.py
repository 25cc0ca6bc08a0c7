"""One fact as it stands in the log: the bytes of an event.

The bytes are a JSON object in RFC 8785 form (:mod:`hub.proof.canonical`), so an event has one
spelling and its hash one meaning.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from hub.errors import VerificationFailed
from hub.proof.canonical import encode_canonical, parse_canonical
from hub.proof.strict import encode_base64, read_back

# tlog-tiles stores the length of an entry in two bytes.
LEAF_BYTES_MAX = 65_535
# An inclusion proof shows a stranger the hash of the leaf beside; without a nonce they
# could guess what it says and compare.
NONCE_BYTES = 16

_NAMES = frozenset({"data", "id", "nonce", "schema", "time", "topic", "version"})
_TOPIC = re.compile(r"hub(\.[A-Z][A-Za-z0-9]{0,63}){2}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")


@dataclass(frozen=True, slots=True)
class Event:
    """A fact the hub recorded.

    `topic` names the kind of fact (``hub.Exchange.DocumentSubmitted``), `schema` the
    version of its form from 1, `id` the aggregate it belongs to, `version` its number there
    from 1. `time` is the hub's clock, in UTC. `nonce` is 16 random bytes. `data` is what
    happened, as plain JSON values.
    """

    topic: str
    schema: int
    id: UUID
    version: int
    time: datetime
    nonce: bytes
    data: Mapping[str, Any]


def parse_leaf(leaf: bytes) -> Event:
    """Read the bytes of a leaf, at most 65,535.

    Raises VerificationFailed(step="leaf") for anything but the one spelling of an event:
    missing or further members, duplicate names, NaN, fractions, nesting deeper than 16,
    spaces, another order.
    """
    # (1) It is one JSON object that every parser reads alike, written in the one way.
    fields = parse_canonical(leaf, bytes_max=LEAF_BYTES_MAX, what="the leaf", step="leaf")
    # (2) It has exactly the members of an event, each of its kind.
    fields.require_names(_NAMES)
    return Event(
        topic=_topic(fields.text("topic")),
        schema=fields.integer("schema", minimum=1),
        id=_uuid(fields.text("id")),
        version=fields.integer("version", minimum=1),
        time=_time(fields.text("time")),
        nonce=_nonce(fields.octets("nonce")),
        data=fields.child("data").members,
    )


def encode_leaf(event: Event, read: Callable[[bytes], Event] = parse_leaf) -> bytes:
    """The bytes of an event's leaf; what the hub stores, hashes and never encodes again.

    Raises ValueError for an event that `read`, which may know more about events than this
    module, would refuse or read differently: a leaf that nobody can read would stand in the
    log for ever.
    """
    if event.time.tzinfo is None:
        raise ValueError("an event's time has no time zone")
    instant = event.time.astimezone(UTC).replace(tzinfo=None)
    members = {
        "data": dict(event.data),
        "id": str(event.id),
        "nonce": encode_base64(event.nonce),
        "schema": event.schema,
        "time": instant.isoformat(timespec="microseconds") + "Z",
        "topic": event.topic,
        "version": event.version,
    }
    return read_back(encode_canonical(members), read, event)


def _topic(text: str) -> str:
    if not _TOPIC.fullmatch(text):
        raise _bad("has a topic that names no event of a hub")
    return text


def _uuid(text: str) -> UUID:
    try:
        value = UUID(text)
    except ValueError as error:
        raise _bad("has an id that is not a UUID") from error
    if str(value) != text:
        raise _bad("has a UUID in an unusual spelling")
    return value


def _time(text: str) -> datetime:
    if not _TIME.fullmatch(text):
        raise _bad("has a time that is not YYYY-MM-DDTHH:MM:SS.ffffffZ")
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise _bad("has a time that no clock shows") from error


def _nonce(value: bytes) -> bytes:
    if len(value) != NONCE_BYTES:
        raise _bad(f"has a nonce that is not {NONCE_BYTES} bytes")
    return value


def _bad(why: str) -> VerificationFailed:
    return VerificationFailed(f"the leaf {why}", step="leaf")
