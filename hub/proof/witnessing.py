"""What a log and its witnesses say to each other: C2SP tlog-witness.

Source: c2sp.org/tlog-witness, the call `add-checkpoint`. The log sends a signed checkpoint
with the proof that it extends the last one this witness saw; the witness answers with
cosignature lines, which mean nothing until they were verified under a key known beforehand.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hub.errors import VerificationFailed
from hub.proof.merkle import HASH_BYTES
from hub.proof.note import (
    KeyType,
    Note,
    NoteSignature,
    VerifierKey,
    format_note,
    parse_note,
)
from hub.proof.strict import decode_base64, decode_utf8, encode_base64, parse_decimal, read_back

# A checkpoint with a hundred signatures and the longest proof stay well below it.
ADD_CHECKPOINT_BYTES_MAX = 64 * 1024
# tlog-witness: "The client MUST NOT send more than 63 consistency proof lines."
PROOF_LINES_MAX = 63
SIZE_MEDIA_TYPE = "text/x.tlog.size"


@dataclass(frozen=True, slots=True)
class AddCheckpoint:
    """A request for a cosignature: `checkpoint` is the signed note, verbatim.

    `proof` leads from the tree of `old_size` leaves, the last one this witness cosigned, to
    the checkpoint's; it is empty when that is 0 or the same size.
    """

    old_size: int
    proof: tuple[bytes, ...]
    checkpoint: bytes

    def format(self) -> bytes:
        """The request's body. Raises ValueError for what `parse_add_checkpoint` would refuse."""
        lines = [f"old {self.old_size}", *(encode_base64(value) for value in self.proof)]
        body = "\n".join(lines).encode() + b"\n\n" + self.checkpoint
        return read_back(body, parse_add_checkpoint, self)


def parse_add_checkpoint(body: bytes) -> AddCheckpoint:
    """Read a request of at most 64 KiB; of the checkpoint, only that there is one.

    Raises VerificationFailed(step="witness"): another first line, a size that is not a plain
    decimal, more than 63 hashes, or one that is not 32 bytes in base64.
    """
    if len(body) > ADD_CHECKPOINT_BYTES_MAX:
        raise _bad(f"it is larger than {ADD_CHECKPOINT_BYTES_MAX} bytes")
    head, empty_line, checkpoint = body.partition(b"\n\n")
    if not empty_line or not checkpoint:
        raise _bad("it has no checkpoint")
    old, *proof = decode_utf8(head, what="the request", step="witness").split("\n")
    if not old.startswith("old "):
        raise _bad("it does not begin with the old size")
    if len(proof) > PROOF_LINES_MAX:
        raise _bad(f"its proof has more than {PROOF_LINES_MAX} lines")
    old_size = parse_decimal(old.removeprefix("old "), what="the old size", step="witness")
    return AddCheckpoint(old_size, tuple(_hash(line) for line in proof), checkpoint)


def parse_size(body: bytes) -> int:
    """Read the answer to a wrong old size: the size this witness saw last, and a newline.

    Raises VerificationFailed(step="witness").
    """
    text = decode_utf8(body[:32], what="the witness's size", step="witness")
    if not text.endswith("\n"):
        raise VerificationFailed("the witness's size is not one line", step="witness")
    return parse_decimal(text.removesuffix("\n"), what="the witness's size", step="witness")


def cosignature_in(answer: bytes, checkpoint: bytes, witness: VerifierKey) -> NoteSignature:
    """The cosignature by this witness among the lines it answered, once it holds.

    Lines by other keys are passed over; of several by the witness the first one counts, if
    all of them hold. Raises VerificationFailed (step "note" or "witness").
    """
    # As the specification suggests: lines are read as a note's, so that no second parser
    # could read them in another way. They must leave the note before them as it was.
    asked, cosigned = parse_note(checkpoint), parse_note(checkpoint + answer)
    count = len(asked.signatures)
    if cosigned.text != asked.text or cosigned.signatures[:count] != asked.signatures:
        raise VerificationFailed("the answer is not signature lines", step="witness")
    lines = [
        line
        for line in cosigned.signatures[count:]
        if (line.name, line.key_id) == (witness.name, witness.key_id)
    ]
    if witness.key_type is not KeyType.COSIGNATURE or not lines:
        raise VerificationFailed("the answer has no cosignature of the witness", step="witness")
    for line in lines:
        witness.verify(cosigned.text, line.signature)
    return lines[0]


def with_cosignatures(checkpoint: bytes, lines: Iterable[NoteSignature]) -> bytes:
    """The signed checkpoint with these lines below its own.

    Raises ValueError for more lines than a note may have, VerificationFailed(step="note") for
    a checkpoint that cannot be read.
    """
    note = parse_note(checkpoint)
    return format_note(Note(note.text, (*note.signatures, *lines)))


def _hash(line: str) -> bytes:
    value = decode_base64(line, what="a hash of the request", step="witness")
    if len(value) != HASH_BYTES:
        raise _bad(f"a hash does not have {HASH_BYTES} bytes")
    return value


def _bad(why: str) -> VerificationFailed:
    return VerificationFailed(f"the request cannot be read: {why}", step="witness")
