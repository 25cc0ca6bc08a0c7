"""Typed reading of a parsed JSON object, field by field, with the path in every complaint."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Collection
from datetime import date, datetime
from typing import Any, TypeVar

from hub.errors import VerificationFailed

T = TypeVar("T")

# RFC 3339 in Vietnam's time zone: a document's clock is read in court without conversion.
# The hour ends at 23 here, since Python 3.14 also reads 24:00:00 where 3.11 does not.
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3])(?::[0-5][0-9]){2}(?:\.[0-9]{1,6})?\+07:00"
)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_HEX_DIGEST = re.compile(r"[0-9a-f]{64}")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class MalformedField(VerificationFailed):
    """A field is missing or not of its kind; `field` is its path, e.g. `document.subject`."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field}: {why}" if field else why, step="statement")
        self.field = field


def plain_text(value: Any, path: str, *, chars_max: int, chars_min: int = 1) -> str:
    """`value` as text of so many code points; of control characters only tab, LF and CR."""
    if not isinstance(value, str) or not chars_min <= len(value) <= chars_max:
        raise MalformedField(path, f"must be text of {chars_min} to {chars_max} characters")
    if _CONTROL.search(value):
        raise MalformedField(path, "must not contain control characters")
    return value


class Fields:
    """One JSON object being read. Fields nobody asks for are kept by the caller, not refused."""

    def __init__(self, value: Any, path: str = "") -> None:
        if not isinstance(value, dict):
            raise MalformedField(path, "must be an object")
        self._value = value
        self._path = path

    def path(self, name: str) -> str:
        """The full path of a field of this object."""
        return f"{self._path}.{name}" if self._path else name

    def bad(self, name: str, why: str) -> MalformedField:
        """The complaint about one field."""
        return MalformedField(self.path(name), why)

    def optional(self, name: str, read: Callable[[str], T]) -> T | None:
        """`read(name)`, or None when the field is absent or null."""
        return None if self._value.get(name) is None else read(name)

    def has(self, name: str) -> bool:
        """Whether the field is there and not null."""
        return self._value.get(name) is not None

    def text(self, name: str, *, chars_max: int, chars_min: int = 1) -> str:
        """Text, its length counted in code points; of control characters only tab, LF and CR."""
        value = self._required(name, str)
        return plain_text(value, self.path(name), chars_max=chars_max, chars_min=chars_min)

    def matching(self, name: str, pattern: re.Pattern[str], what: str) -> str:
        """Text that is wholly matched by `pattern`; `what` describes it in the complaint."""
        value = self._required(name, str)
        if not pattern.fullmatch(value):
            raise self.bad(name, f"must be {what}")
        return value

    def one_of(self, name: str, values: Collection[str]) -> str:
        """One of a closed list of words."""
        value = self._required(name, str)
        if value not in values:
            raise self.bad(name, f"must be one of {', '.join(sorted(values))}")
        return value

    def integer(self, name: str, *, minimum: int, maximum: int) -> int:
        """A whole number between two bounds, both allowed."""
        value = self._required(name, int)
        if isinstance(value, bool) or not minimum <= value <= maximum:
            raise self.bad(name, f"must be a whole number from {minimum} to {maximum}")
        return value

    def boolean(self, name: str) -> bool:
        """True or false."""
        return self._required(name, bool)

    def digest(self, name: str) -> str:
        """A SHA-256 digest in lower-case hexadecimal."""
        return self.matching(name, _HEX_DIGEST, "64 lower-case hexadecimal digits")

    def uuid(self, name: str) -> str:
        """A UUID in its canonical lower-case form (RFC 9562)."""
        return self.matching(name, _UUID, "a UUID in lower case with hyphens")

    def base64(self, name: str, *, bytes_exactly: int) -> bytes:
        """Standard base64 with padding, of exactly so many bytes."""
        value = self._required(name, str)
        try:
            decoded = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            decoded = b""
        if len(decoded) != bytes_exactly or base64.b64encode(decoded).decode() != value:
            raise self.bad(name, f"must be {bytes_exactly} bytes in base64")
        return decoded

    def octets(self, name: str, *, bytes_max: int) -> bytes:
        """Standard base64 with padding, of one byte to so many."""
        value = self._required(name, str)
        try:
            decoded = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            decoded = b""
        canonical = base64.b64encode(decoded).decode() == value
        if not 1 <= len(decoded) <= bytes_max or not canonical:
            raise self.bad(name, f"must be 1 to {bytes_max} bytes in base64")
        return decoded

    def instant(self, name: str) -> datetime:
        """An instant in RFC 3339 with the offset +07:00."""
        value = self.matching(name, _INSTANT, "a time like 2026-11-22T08:30:00+07:00")
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            raise self.bad(name, "is not a time that exists") from None

    def date(self, name: str) -> date:
        """A calendar date, YYYY-MM-DD."""
        value = self.matching(name, _DATE, "a date like 2026-11-22")
        try:
            return date.fromisoformat(value)
        except ValueError:
            raise self.bad(name, "is not a date that exists") from None

    def object(self, name: str) -> Fields:
        """A nested object."""
        return Fields(self._required(name, dict), self.path(name))

    def array(
        self, name: str, read: Callable[[Any, str], T], *, items_max: int, items_min: int = 0
    ) -> tuple[T, ...]:
        """An array, each item read by `read(value, path)`."""
        value = self._required(name, list)
        if not items_min <= len(value) <= items_max:
            raise self.bad(name, f"must have {items_min} to {items_max} items")
        return tuple(read(item, f"{self.path(name)}[{n}]") for n, item in enumerate(value))

    def _required(self, name: str, kind: type[T]) -> T:
        value = self._value.get(name)
        if value is None:
            raise self.bad(name, "is missing")
        if not isinstance(value, kind):
            raise self.bad(name, f"must be {_KIND_WORDS[kind]}")
        return value


_KIND_WORDS: dict[type, str] = {
    str: "text",
    int: "a whole number",
    bool: "true or false",
    dict: "an object",
    list: "an array",
}
