"""The hub's promise that a fact stands in its log for good: C2SP tlog-proof.

Source: c2sp.org/tlog-proof. A receipt needs nothing but the trusted root to be verified;
the hub may be switched off.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from hub.errors import VerificationFailed
from hub.proof.checkpoint import Checkpoint, OpenedCheckpoint
from hub.proof.leaf import Event, parse_leaf
from hub.proof.merkle import HASH_BYTES, PROOF_HASHES_MAX, leaf_hash, verify_inclusion
from hub.proof.strict import (
    INTEGER_MAX,
    decode_base64,
    decode_utf8,
    encode_base64,
    parse_decimal,
    read_back,
)
from hub.proof.trust import TrustedRoot

TLOG_PROOF_HEADER = "c2sp.org/tlog-proof@v1"
TLOG_PROOF_BYTES_MAX = 1 << 20


@dataclass(frozen=True, slots=True)
class TlogProof:
    """Where a leaf stands, the audit path from there to the root, and the signed checkpoint.

    `hashes` run from the leaf's sibling up. `checkpoint` is the signed note, verbatim.
    `extra` is signed by nobody and must not be believed.
    """

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes | None = None

    def format(self) -> bytes:
        """The proof's bytes. Raises ValueError for what `parse_tlog_proof` would refuse."""
        extra = [] if self.extra is None else [f"extra {encode_base64(self.extra)}"]
        hashes = [encode_base64(value) for value in self.hashes]
        lines = [TLOG_PROOF_HEADER, *extra, f"index {self.index}", *hashes]
        data = "\n".join(lines).encode() + b"\n\n" + self.checkpoint
        return read_back(data, parse_tlog_proof, self)


@dataclass(frozen=True, slots=True)
class Receipt:
    """A leaf and its tlog-proof, both exactly as the hub gave them out."""

    leaf: bytes
    proof: bytes


@dataclass(frozen=True, slots=True)
class VerifiedReceipt:
    """A fact that was found to stand at `position`, from 0, of the log at `checkpoint`."""

    position: int
    event: Event
    checkpoint: Checkpoint


def parse_tlog_proof(data: bytes) -> TlogProof:
    """Read a tlog-proof of at most 1 MiB; the checkpoint in it is not looked at.

    Raises VerificationFailed(step="proof"): another header, an index that is not a plain
    decimal up to 2^63 - 1, an empty `extra`, more than 64 hashes or one not of 32 bytes.
    """
    if len(data) > TLOG_PROOF_BYTES_MAX:
        raise _bad(f"it is larger than {TLOG_PROOF_BYTES_MAX} bytes")
    # The head has no empty line, so the first one ends it; the checkpoint has its own.
    head, empty_line, checkpoint = data.partition(b"\n\n")
    if not empty_line or not checkpoint:
        raise _bad("it has no checkpoint")
    lines = decode_utf8(head, what="the proof", step="proof").split("\n")
    if lines.pop(0) != TLOG_PROOF_HEADER:
        raise _bad(f"it does not begin with {TLOG_PROOF_HEADER}")
    extra = _parse_extra(lines.pop(0)) if lines and lines[0].startswith("extra ") else None
    if not lines or not lines[0].startswith("index "):
        raise _bad("it has no index")
    index = parse_decimal(lines.pop(0)[len("index ") :], what="the proof's index", step="proof")
    if index == INTEGER_MAX or len(lines) > PROOF_HASHES_MAX:
        raise _bad("its index or its path is beyond what any log reaches")
    return TlogProof(index, tuple(_parse_hash(line) for line in lines), checkpoint, extra)


def verify_receipt(receipt: Receipt, trust: TrustedRoot) -> VerifiedReceipt:
    """Check a receipt against a trusted root, and return the fact it proves.

    1. The proof can be read. 2. A log key that was good at its size signed the checkpoint.
    3. The leaf stands at the stated position under the checkpoint's root. 4. The leaf is
    an event. What the event *says* is the hub's word: a signature in it is checked by
    :mod:`hub.proof.evidence`, its time by nobody.

    Raises VerificationFailed; its `step` is "proof", "note", "checkpoint", "trust",
    "inclusion" or "leaf".
    """
    # (1) The proof can be read.
    proof = parse_tlog_proof(receipt.proof)
    # (2) A log key that was good at its size signed the checkpoint.
    opened = trust.open_checkpoint(proof.checkpoint)
    # (3) The leaf stands at the stated position under the checkpoint's root.
    verify_leaf_included(receipt.leaf, proof, opened)
    # (4) The leaf is an event.
    event = parse_leaf(receipt.leaf)
    return VerifiedReceipt(proof.index, event, opened.checkpoint)


def verify_leaf_included(leaf: bytes, proof: TlogProof, opened: OpenedCheckpoint) -> None:
    """Check the audit path from these leaf bytes to the root of an opened checkpoint.

    Raises VerificationFailed(step="inclusion").
    """
    checkpoint = opened.checkpoint
    verify_inclusion(
        leaf=leaf_hash(leaf),
        index=proof.index,
        size=checkpoint.size,
        proof=proof.hashes,
        root=checkpoint.root,
    )


def _parse_extra(line: str) -> bytes:
    extra = decode_base64(line[len("extra ") :], what="the proof's extra data", step="proof")
    if not extra:
        raise _bad("its extra data is empty")
    return extra


@lru_cache(maxsize=4096)  # The receipts of a batch, or of a folder, share most of their paths.
def _parse_hash(line: str) -> bytes:
    value = decode_base64(line, what="a hash of the proof", step="proof")
    if len(value) != HASH_BYTES:
        raise _bad(f"a hash does not have {HASH_BYTES} bytes")
    return value


def _bad(why: str) -> VerificationFailed:
    return VerificationFailed(f"the proof cannot be read: {why}", step="proof")
