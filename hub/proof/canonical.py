"""JSON with one spelling: RFC 8785, less what Python would write in another way.

Two rules are stricter than RFC 8785, and remove every place where Python's `json` would
write something else: no fractions, and no member names beyond U+FFFF.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hub.errors import VerificationFailed
from hub.proof.strict import JsonObject

# Made once: `json.dumps` would make one for each leaf.
_ENCODER = json.JSONEncoder(
    ensure_ascii=False,
    allow_nan=False,
    separators=(",", ":"),
    sort_keys=True,
    # What is written is plain values, and what was read has no rings.
    check_circular=False,
)


def encode_canonical(members: Mapping[str, Any]) -> bytes:
    """The one spelling of an object of plain JSON values; raises ValueError for NaN."""
    return _ENCODER.encode(members).encode("utf-8")


def parse_canonical(data: bytes, *, bytes_max: int, what: str, step: str) -> JsonObject:
    """Read a JSON object in its one spelling.

    Raises VerificationFailed with this step for anything `JsonObject.parse` refuses, and for
    spaces, another order, needless escapes, names that come twice, fractions and member names
    beyond U+FFFF.
    """
    fields = JsonObject.parse(data, bytes_max=bytes_max, what=what, step=step, canonical=True)
    # RFC 8785 sorts by UTF-16 units, Python by code points: the same up to U+FFFF.
    if not data.isascii() and not _are_plain_names(fields.members):
        raise VerificationFailed(f"{what} has a member name beyond U+FFFF", step=step)
    if encode_canonical(fields.members) != data:
        raise VerificationFailed(f"{what} is not in canonical form", step=step)
    return fields


def _are_plain_names(value: object) -> bool:
    match value:
        case dict():
            return all(
                (name.isascii() or max(name) <= "\uffff") and _are_plain_names(member)
                for name, member in value.items()
            )
        case list():
            return all(map(_are_plain_names, value))
    return True
