"""Small values that are parsed once and trusted after."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from uuid import UUID


def uuid7(at: datetime, random: bytes) -> UUID:
    """A UUIDv7 (RFC 9562 section 5.7): 48 bits of Unix milliseconds, then 74 random bits.

    Ids in order of time keep the index over aggregates append-mostly, which is what makes
    grouped inserts fast. `random` is at least 10 bytes.
    """
    milliseconds = int(at.timestamp() * 1000)
    value = bytearray(milliseconds.to_bytes(6, "big") + random[:10])
    value[6] = 0x70 | (value[6] & 0x0F)
    value[8] = 0x80 | (value[8] & 0x3F)
    return UUID(bytes=bytes(value))


def time_of(identifier: UUID) -> datetime:
    """When a UUIDv7 was made, to the millisecond."""
    milliseconds = int.from_bytes(identifier.bytes[:6], "big")
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def format_time(at: datetime) -> str:
    """A UTC instant as events write it: `2026-11-22T01:30:00.000000Z`."""
    # Not strftime: its %Y writes the year 950 with three digits, which nothing reads back.
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def parse_time(text: str) -> datetime:
    """The instant that `format_time` wrote."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)


def sha256_hex(data: bytes) -> str:
    """SHA-256 in lower-case hexadecimal."""
    return hashlib.sha256(data).hexdigest()
