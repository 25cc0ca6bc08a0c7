"""A signed statement: exact bytes, the media type they are read as, and one signature."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class SignedStatement:
    """One thing an agency says, as a DSSE v1 envelope with one signature.

    The payload is kept exactly as it came; nothing here parses it.
    """

    payload_type: str
    payload: bytes
    key_id: str
    signature: bytes

    @property
    def pae(self) -> bytes:
        """The bytes that are signed."""
        return pre_authentication_encoding(self.payload_type, self.payload)

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the payload: the statement's name everywhere else."""
        return hashlib.sha256(self.payload).digest()


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """The DSSE v1 pre-authentication encoding (secure-systems-lab/dsse, protocol.md).

    Lengths are in bytes, so no two pairs of type and payload share an encoding.
    """
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
