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


def encode_canonical(members: Mapping[str, Any]) -> bytes:
    """The one spelling of an object of plain JSON values; raises ValueError for NaN."""
    text = json.dumps(
        members, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True
    )
    return text.encode("utf-8")


def parse_canonical(data: bytes, *, bytes_max: int, what: str, step: str) -> JsonObject:
    """Read a JSON object in its one spelling.

    Raises VerificationFailed with this step for anything `JsonObject.parse` refuses, and for
    spaces, another order, needless escapes, fractions and member names beyond U+FFFF.
    """
    fields = JsonObject.parse(data, bytes_max=bytes_max, what=what, step=step)
    _require_plain(fields.members, what, step)
    if encode_canonical(fields.members) != data:
        raise VerificationFailed(f"{what} is not in canonical form", step=step)
    return fields


def _require_plain(value: object, what: str, step: str) -> None:
    match value:
        case float():
            # RFC 8785 writes 1.0 as 1 and 1e16 in full; Python does not.
            raise VerificationFailed(f"{what} has a number that is not whole", step=step)
        case dict():
            for name, member in value.items():
                # RFC 8785 sorts by UTF-16 units, Python by code points: the same up to U+FFFF.
                if not name.isascii() and max(name) > "\uffff":
                    raise VerificationFailed(f"{what} has a member name beyond U+FFFF", step=step)
                _require_plain(member, what, step)
        case list():
            for member in value:
                _require_plain(member, what, step)
