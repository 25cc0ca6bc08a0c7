"""Whether a request is from whom it says, as the vendor's clients sign it."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

_PREFIX = "xroadvnpt-"
_SIGNED, _ORDER, _SIGNATURE = "sign-header", "sign-header-key", "hash-header"


class NotSigned(Exception):
    """The request proves nothing about its sender."""


@dataclass(frozen=True, slots=True)
class Signed:
    """Parameters of a request whose signature holds; names in lower case."""

    system_id: str
    parameters: Mapping[str, str]
    signature: str


def check(headers: Mapping[str, bytes], secrets_of: Callable[[str], Sequence[str]]) -> Signed:
    """The parameters of a request, given all headers by names in lower case.

    Signed is what was sent: the HMAC is computed over the bytes of `sign-header` as they came.
    Timestamps are not looked at: real clients never renew theirs. Raises NotSigned.
    """
    message, order = headers.get(_PREFIX + _SIGNED), headers.get(_PREFIX + _ORDER)
    signature = headers.get(_PREFIX + _SIGNATURE, b"").decode("latin-1")
    if message is None or order is None:
        raise NotSigned("there is no sign-header")
    pairs = _pairs(message)
    if [name for name, _value in pairs] != _text(order).split(";"):
        raise NotSigned("sign-header-key names other parameters, or another order")
    for name, value in pairs:
        if _text(headers.get(_PREFIX + name.lower(), b"")) != value:
            raise NotSigned(f"the header {name} differs from what was signed")
    parameters = {name.lower(): value for name, value in pairs}
    system_id = parameters.get("systemid", "")
    for secret in secrets_of(system_id):
        expected = hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()
        if hmac.compare_digest(expected, signature):
            return Signed(system_id, parameters, signature)
    raise NotSigned("no secret of this systemid makes this signature")


def unpadded(digest: bytes) -> str:
    """A digest as `hash-file` has it: the zero before a single hex digit is left out."""
    return "".join(format(byte, "x") for byte in digest)


def _pairs(message: bytes) -> list[tuple[str, str]]:
    try:
        found = json.loads(_text(message), object_pairs_hook=list)
    except (ValueError, RecursionError):
        raise NotSigned("sign-header is not JSON") from None
    if not isinstance(found, list) or not all(_is_pair(each) for each in found):
        raise NotSigned("sign-header is no object of texts")
    return [(name[len(_PREFIX) :], value) for name, value in found]


def _is_pair(each: object) -> bool:
    return (
        isinstance(each, tuple) and isinstance(each[1], str) and each[0].lower().startswith(_PREFIX)
    )


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
