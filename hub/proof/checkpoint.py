"""The signed note that names a log, its size and its root: C2SP tlog-checkpoint.

One stricter rule than the format: no extension lines, which no monitor could audit.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from hub.errors import VerificationFailed
from hub.proof.merkle import EMPTY_ROOT, HASH_BYTES
from hub.proof.note import KeyType, VerifiedSignature, VerifierKey, parse_note, verify_note
from hub.proof.strict import (
    INTEGER_MAX,
    decode_base64,
    decode_utf8,
    encode_base64,
    parse_decimal,
)

_CONTROLS = re.compile(r"[\x00-\x1f]")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a log: `size` leaves under `root`, in the log called `origin`.

    Raises VerificationFailed(step="checkpoint") for an empty origin or one with control
    characters, a size outside 0 to 2^63 - 1, a root that is not 32 bytes, or an empty tree
    with a root other than its only one.
    """

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        if not self.origin or _CONTROLS.search(self.origin):
            raise _bad("its origin is empty or has control characters")
        if not 0 <= self.size <= INTEGER_MAX:
            raise _bad("its size is not from 0 to 2^63 - 1")
        if len(self.root) != HASH_BYTES:
            raise _bad(f"its root does not have {HASH_BYTES} bytes")
        if self.size == 0 and self.root != EMPTY_ROOT:
            raise _bad("an empty tree has another root")

    @property
    def body(self) -> bytes:
        """The note text that is signed: exactly three lines."""
        return f"{self.origin}\n{self.size}\n{encode_base64(self.root)}\n".encode()


@dataclass(frozen=True, slots=True)
class OpenedCheckpoint:
    """A checkpoint with the signatures that were found good.

    `signed_by` are the log's keys, at least one; `cosignatures` those of known witnesses,
    each with its time, possibly none. `uncounted` are those of witnesses that were not trusted
    at that time: they hold, and count for nothing.
    """

    checkpoint: Checkpoint
    signed_by: tuple[VerifierKey, ...]
    cosignatures: tuple[VerifiedSignature, ...]
    uncounted: tuple[VerifiedSignature, ...] = ()


def parse_checkpoint_body(body: bytes) -> Checkpoint:
    """Read the three lines of a checkpoint's note text.

    Raises VerificationFailed(step="checkpoint"), for extension lines too.
    """
    lines = decode_utf8(body, what="the checkpoint", step="checkpoint").split("\n")
    if len(lines) != 4 or lines.pop():
        raise _bad("it does not have exactly three lines")
    origin, size, root = lines
    return Checkpoint(
        origin,
        parse_decimal(size, what="the checkpoint's size", step="checkpoint"),
        decode_base64(root, what="the checkpoint's root", step="checkpoint"),
    )


def open_checkpoint(
    note_bytes: bytes, *, log_keys: Sequence[VerifierKey], origin: str
) -> Checkpoint:
    """The checkpoint in a signed note, once a key of that log has signed it.

    Says nothing about *when* the key was good: `TrustedRoot.open_checkpoint` does.
    Raises as `open_cosigned_checkpoint`.
    """
    opened = open_cosigned_checkpoint(note_bytes, log_keys=log_keys, witness_keys=(), origin=origin)
    return opened.checkpoint


def open_cosigned_checkpoint(
    note_bytes: bytes,
    *,
    log_keys: Sequence[VerifierKey],
    witness_keys: Sequence[VerifierKey],
    origin: str,
) -> OpenedCheckpoint:
    """The checkpoint in a signed note, with every known key that vouches for it.

    1. The note can be read. 2. Its text is a checkpoint of `origin`. 3. Every signature by
    a known key holds, and one of them is the log's. Of `log_keys` only Ed25519 keys named
    like the origin count, and of `witness_keys` only cosigning ones, so that neither can
    stand in for the other. Raises VerificationFailed (step "note" or "checkpoint").
    """
    # (1) The note can be read.
    note = parse_note(note_bytes)
    # (2) Its text is a checkpoint of this log.
    checkpoint = parse_checkpoint_body(note.text)
    if checkpoint.origin != origin:
        raise VerificationFailed(f"the checkpoint is not of the log {origin}", step="checkpoint")
    # (3) Every signature by a known key holds, and one of them is the log's.
    logs = [k for k in log_keys if k.name == origin and k.key_type is KeyType.ED25519]
    witnesses = [k for k in witness_keys if k.key_type is KeyType.COSIGNATURE]
    verified = verify_note(note, [*logs, *witnesses])
    signed_by = tuple(v.key for v in verified if v.key.key_type is KeyType.ED25519)
    if not signed_by:
        raise VerificationFailed(f"no key of the log {origin} signed", step="checkpoint")
    cosignatures = tuple(v for v in verified if v.key.key_type is KeyType.COSIGNATURE)
    return OpenedCheckpoint(checkpoint, signed_by, cosignatures)


def _bad(why: str) -> VerificationFailed:
    return VerificationFailed(f"the checkpoint cannot be read: {why}", step="checkpoint")
