"""A time-stamping authority as the trusted root knows it: whose word about time counts, when."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from hub.errors import VerificationFailed
from hub.proof.strict import JsonObject, encode_base64

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}")
_INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")


@dataclass(frozen=True, slots=True)
class TimestampAuthority:
    """An authority by the hub's name for it, with its certificates in DER.

    Those of them that issued themselves are anchors; the others only help to reach one. Its
    word counts for times from `not_before` to `not_after`, both included and whole seconds;
    None means that no end is known. Whoever finds out that an authority was compromised
    ends its window there, and never takes the entry away.
    """

    name: str
    certificates: tuple[bytes, ...]
    not_before: datetime
    not_after: datetime | None = None

    def vouch(self, time: datetime) -> None:
        """Check that the authority was trusted at `time`; VerificationFailed(step="trust")."""
        if time < self.not_before:
            raise _bad(f"the time-stamping authority {self.name} was not trusted yet at that time")
        if self.not_after is not None and time > self.not_after:
            raise _bad(f"the time-stamping authority {self.name} was no longer trusted then")

    def members(self) -> dict[str, Any]:
        """The JSON members that `parse_timestamp_authorities` reads."""
        return {
            "name": self.name,
            "certificates": [encode_base64(certificate) for certificate in self.certificates],
            "from": format_instant(self.not_before),
            "until": None if self.not_after is None else format_instant(self.not_after),
        }


def is_authority_name(name: str) -> bool:
    """Whether an authority may be called so: 1 to 63 of a-z, 0-9, dot and hyphen."""
    return _NAME.fullmatch(name) is not None


def parse_timestamp_authorities(entries: Sequence[JsonObject]) -> tuple[TimestampAuthority, ...]:
    """Read the list of the trusted root. Raises VerificationFailed(step="trust")."""
    authorities = tuple(_parse(entry) for entry in entries)
    if len({authority.name for authority in authorities}) != len(authorities):
        raise _bad("two time-stamping authorities of the trusted root share a name")
    return authorities


def _parse(fields: JsonObject) -> TimestampAuthority:
    name = fields.text("name")
    if not is_authority_name(name):
        raise _bad("a time-stamping authority of the trusted root has an impossible name")
    # A missing end must not mean an open window: the word may have been cut away.
    if "until" not in fields.members:
        raise _bad(f"the trusted root does not say until when {name} is trusted")
    closed = fields.members["until"] is not None
    authority = TimestampAuthority(
        name,
        tuple(fields.octets_list("certificates")),
        parse_instant(fields.text("from")),
        parse_instant(fields.text("until")) if closed else None,
    )
    if not authority.certificates:
        raise _bad(f"the trusted root has no certificate for {name}")
    return authority


def parse_instant(text: str) -> datetime:
    """An instant of the trusted root, whole seconds in UTC. Raises VerificationFailed."""
    try:
        if _INSTANT.fullmatch(text):
            return datetime.fromisoformat(text.removesuffix("Z")).replace(tzinfo=UTC)
    except ValueError:
        pass
    raise _bad("a time of the trusted root is not YYYY-MM-DDTHH:MM:SSZ")


def format_instant(at: datetime) -> str:
    """What `parse_instant` reads."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def _bad(why: str) -> VerificationFailed:
    return VerificationFailed(why, step="trust")
