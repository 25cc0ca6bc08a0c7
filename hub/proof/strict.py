"""Text that may be written in exactly one way, and is read in no other.

Evidence that can be rewritten without changing its meaning can be passed off as two
pieces of evidence, so every reader here accepts one spelling. All of them raise
VerificationFailed with the step their caller names; none raises ValueError.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Set
from dataclasses import dataclass
from typing import Any, TypeVar

from hub.errors import VerificationFailed
from hub.proof.ijson import parse_ijson

# The largest tree size and cosignature time C2SP formats allow (tlog-cosignature, "Format").
INTEGER_MAX = 2**63 - 1

# No text of this package comes near; it keeps a hostile one from filling memory, since an
# empty list costs two bytes to send and some seventy to hold.
JSON_TOKENS_MAX = 250_000

_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}")  # 2^63 - 1 has 19 digits.
# Strings as a whole, unended ones to the end of the text, then the signs between values.
# The possessive `+` never looks at a character twice.
_TOKENS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[\]{},]', re.DOTALL)

T = TypeVar("T")


def encode_base64(data: bytes) -> str:
    """Standard base64 with padding (RFC 4648 section 4)."""
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def decode_base64(text: str, *, what: str, step: str) -> bytes:
    """Read standard base64; `what` names the thing in the error.

    Refused: other alphabets, white space, missing padding, and spare bits that are not
    zero (RFC 4648 section 3.5): two spellings of the same bytes.
    """
    try:
        data = binascii.a2b_base64(text)
    except ValueError as error:
        raise VerificationFailed(f"{what} is not base64", step=step) from error
    if encode_base64(data) != text:
        raise VerificationFailed(f"{what} is base64 with stray bits or signs", step=step)
    return data


def parse_decimal(text: str, *, what: str, step: str) -> int:
    """Read an ASCII decimal from 0 to 2^63 - 1 with no sign and no leading zeros."""
    if not _DECIMAL.fullmatch(text) or (value := int(text)) > INTEGER_MAX:
        raise VerificationFailed(f"{what} is not a plain decimal up to 2^63 - 1", step=step)
    return value


def decode_utf8(data: bytes, *, what: str, step: str) -> str:
    """Read UTF-8 with no ill-formed sequence."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise VerificationFailed(f"{what} is not UTF-8", step=step) from error


def read_back(data: bytes, parse: Callable[[bytes], T], expected: T) -> bytes:
    """Return `data` once `parse` has read it as `expected`.

    For writers: evidence is kept for decades, so what we could not read ourselves is
    never handed out. A failure is a bug of the writer's caller: ValueError.
    """
    try:
        found = parse(data)
    except VerificationFailed as failure:
        raise ValueError(f"refused to write what cannot be read back: {failure}") from failure
    if found != expected:
        raise ValueError("refused to write what would be read back as something else")
    return data


@dataclass(frozen=True, slots=True)
class JsonObject:
    """One object of a JSON text; each member is read with its type, or refused.

    `what` names the object in errors ("the leaf"), `step` is the step that fails.
    """

    members: dict[str, Any]
    what: str
    step: str

    @classmethod
    def parse(
        cls, data: bytes, *, bytes_max: int, what: str, step: str, canonical: bool = False
    ) -> JsonObject:
        """Read I-JSON (see `parse_ijson`) whose outermost value is an object."""
        if len(data) <= bytes_max:  # Else it is refused for that, at once.
            _require_modest(data, what, step)
        try:
            members = parse_ijson(data, bytes_max=bytes_max, canonical=canonical)
        except VerificationFailed as failure:
            raise VerificationFailed(f"{what} is {failure}", step=step) from failure
        if not isinstance(members, dict):
            raise VerificationFailed(f"{what} is not a JSON object", step=step)
        return cls(members, what, step)

    def require_names(self, required: Set[str], optional: Set[str] = frozenset()) -> None:
        """Refuse a missing name, and any name that is in neither set."""
        names = self.members.keys()
        if missing := required - names:
            raise self._bad(f"lacks {', '.join(sorted(missing))}")
        if names - required - optional:
            # The stranger's own words are not repeated: they end up on terminals.
            raise self._bad("has a member this version does not know")

    def text(self, name: str, *, chars_max: int | None = None) -> str:
        """A string, of at most so many characters."""
        value = self.members.get(name)
        if not isinstance(value, str):
            raise self._bad(f"has no text {name!r}")
        if chars_max is not None and len(value) > chars_max:
            raise self._bad(f"has a {name!r} larger than any that was ever made")
        return value

    def integer(self, name: str, *, minimum: int) -> int:
        """A whole number of at least `minimum`; true and false are none."""
        value = self.members.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
            raise self._bad(f"has no whole number {name!r} of at least {minimum}")
        return value

    def octets(self, name: str, *, bytes_max: int | None = None) -> bytes:
        """A string holding base64 of at most so many bytes."""
        chars_max = None if bytes_max is None else -(-bytes_max // 3) * 4
        text = self.text(name, chars_max=chars_max)
        return decode_base64(text, what=f"the {name!r} of {self.what}", step=self.step)

    def octets_list(self, name: str) -> list[bytes]:
        """A list of strings holding base64."""
        what = f"the {name!r} of {self.what}"
        return [decode_base64(text, what=what, step=self.step) for text in self.texts(name)]

    def child(self, name: str) -> JsonObject:
        """An object."""
        return self._object(self.members.get(name), name)

    def children(self, name: str) -> list[JsonObject]:
        """A list of objects."""
        return [self._object(value, name) for value in self._list(name)]

    def texts(self, name: str) -> list[str]:
        """A list of strings."""
        values = self._list(name)
        if not all(isinstance(value, str) for value in values):
            raise self._bad(f"has something other than text in {name!r}")
        return values

    def _list(self, name: str) -> list[Any]:
        value = self.members.get(name)
        if not isinstance(value, list):
            raise self._bad(f"has no list {name!r}")
        return value

    def _object(self, value: object, name: str) -> JsonObject:
        if not isinstance(value, dict):
            raise self._bad(f"has no object {name!r}")
        return JsonObject(value, f"the {name!r} of {self.what}", self.step)

    def _bad(self, why: str) -> VerificationFailed:
        return VerificationFailed(f"{self.what} {why}", step=self.step)


def _require_modest(data: bytes, what: str, step: str) -> None:
    # Linear in the data, and before anything is built from it.
    if len(data) <= JSON_TOKENS_MAX:
        return  # A value takes at least a byte.
    for count, _ in enumerate(_TOKENS.finditer(data)):
        if count == JSON_TOKENS_MAX:
            raise VerificationFailed(f"{what} has too many values", step=step)
