"""Strict reading of I-JSON (RFC 7493): what two parsers could read differently is refused."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from hub.errors import VerificationFailed

DEPTH_MAX = 16
_INTEGER_MAX = 2**53 - 1  # RFC 7493 section 2.2: beyond it a double loses digits.
# A string as a whole, so that brackets inside it do not count. One without an end is taken
# to the last byte: were it left, each quote in it would start the same long search anew.
_BRACKETS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def parse_ijson(data: bytes, *, bytes_max: int, canonical: bool = False) -> Any:
    """Parse UTF-8 JSON text; raise VerificationFailed(step="json") for anything dubious.

    Refused: more than `bytes_max` bytes, a byte order mark, bad UTF-8, duplicate names,
    NaN and infinities, integers beyond 2^53, lone surrogates, nesting deeper than 16. For a text
    that the caller then compares with its one spelling (`canonical`), numbers with a fraction or
    an exponent are refused, and names that come twice are left to the comparison.
    """
    if len(data) > bytes_max:
        raise _bad(f"larger than {bytes_max} bytes")
    _check_depth(data)
    try:
        decoder = _DECODER_OF_CANONICAL if canonical else _DECODER
        value = decoder.decode(data.decode("utf-8"))
        # A lone surrogate arrives as an escape and cannot be written as UTF-8 again.
        if _SURROGATE.search(data):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise _bad(str(error)) from error
    return value


def _check_depth(data: bytes) -> None:
    # Before the parser sees it: hostile nesting must not cost recursion or memory.
    if data.count(b"[") + data.count(b"{") <= DEPTH_MAX:
        return  # So few openings cannot be too deep, wherever they stand.
    depth = 0
    for match in _BRACKETS.finditer(data):
        token = match[0]
        if token in b"[{":
            depth += 1
            if depth > DEPTH_MAX:
                raise _bad(f"nested deeper than {DEPTH_MAX}")
        elif token in b"]}":
            depth -= 1


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a name comes twice in one object")
    return result


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number in JSON")


def _integer(digits: str) -> int:
    if len(digits) > 17 or abs(value := int(digits)) > _INTEGER_MAX:
        raise ValueError("an integer beyond 2^53")
    return value


def _finite(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise ValueError("a number too large for a double")
    return value


def _fraction(digits: str) -> NoReturn:
    raise ValueError("a number that is not whole")


# Made once: `json.loads` would make one for each text.
_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer, parse_float=_finite
)
_DECODER_OF_CANONICAL = json.JSONDecoder(
    parse_constant=_constant, parse_int=_integer, parse_float=_fraction
)


def _bad(why: str) -> VerificationFailed:
    return VerificationFailed(f"not acceptable JSON: {why}", step="json")
