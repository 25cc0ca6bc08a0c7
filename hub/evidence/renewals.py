"""The bytes that a renewal is over: earlier tokens, each beside what it was over.

A token is only as good as the certificate behind it. Before that ends, another token is got
over these bytes, and proves that the earlier ones existed while they could still be trusted
(after RFC 4998 section 5.2, with one list in place of a hash tree).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from hub.errors import VerificationFailed
from hub.proof.strict import decode_utf8, read_back

RENEWAL_HEADER = "lienthong.timestamp-renewal.v1"
RENEWED_MAX = 256
"""How many tokens one renewal takes together."""

RENEWAL_BYTES_MAX = 64 * 1024
_LINE = re.compile(r"([0-9a-f]{64}) ([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Renewed:
    """One earlier token: SHA-256 of what it is over, and SHA-256 of the token itself.

    What it is over is a checkpoint's signed note, or the bytes of an earlier renewal.
    """

    message: bytes
    token: bytes

    @classmethod
    def of(cls, message: bytes, token: bytes) -> Renewed:
        """The line for a token over `message`."""
        return cls(hashlib.sha256(message).digest(), hashlib.sha256(token).digest())


@dataclass(frozen=True, slots=True)
class RenewalMessage:
    """What a renewal's token is over: the log's origin and 1 to 256 earlier tokens."""

    origin: str
    renewed: tuple[Renewed, ...]

    def format(self) -> bytes:
        """The bytes: header, origin, one line a token; ValueError if not well formed."""
        lines = [f"{each.message.hex()} {each.token.hex()}" for each in self.renewed]
        data = "".join(f"{line}\n" for line in (RENEWAL_HEADER, self.origin, *lines)).encode()
        return read_back(data, parse_renewal, self)


def parse_renewal(data: bytes) -> RenewalMessage:
    """Read the bytes of a renewal. Raises VerificationFailed(step="renewal")."""
    if len(data) > RENEWAL_BYTES_MAX:
        raise _bad(f"it has more than {RENEWAL_BYTES_MAX} bytes")
    header, *lines = decode_utf8(data, what="the renewal", step="renewal").split("\n")
    if header != RENEWAL_HEADER or len(lines) < 3 or lines.pop():
        raise _bad("it is not a header, an origin and lines of tokens")
    origin, *tokens = lines
    if not origin or len(tokens) > RENEWED_MAX:
        raise _bad(f"it has no origin, or more than {RENEWED_MAX} tokens")
    return RenewalMessage(origin, _parse_lines(tokens))


def _parse_lines(lines: Sequence[str]) -> tuple[Renewed, ...]:
    matches = [_LINE.fullmatch(line) for line in lines]
    if not all(matches):
        raise _bad("a line of it is not two digests")
    return tuple(
        Renewed(bytes.fromhex(match[1]), bytes.fromhex(match[2])) for match in matches if match
    )


def _bad(why: str) -> VerificationFailed:
    return VerificationFailed(f"the renewal cannot be read: {why}", step="renewal")
