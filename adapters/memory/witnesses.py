"""Witnesses and their cosignatures in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from adapters.memory.faults import FaultSwitch, breakable
from hub.application.ports import Clock, WitnessConflict, WitnessRefused
from hub.errors import LedgerMismatch, VerificationFailed
from hub.proof.checkpoint import Checkpoint, parse_checkpoint_body
from hub.proof.merkle import verify_consistency
from hub.proof.note import (
    KeyType,
    Note,
    NoteSignature,
    VerifierKey,
    cosignature_message,
    format_note,
    parse_note,
    verify_note,
)
from hub.proof.witnessing import AddCheckpoint


class MemoryWitness:
    """The port Witness: one that remembers one log. `answer` may be bent by a test."""

    def __init__(
        self, name: str, private_key: Ed25519PrivateKey, log_key: VerifierKey, clock: Clock
    ) -> None:
        public = private_key.public_key().public_bytes_raw()
        self.key = VerifierKey(name, KeyType.COSIGNATURE, public)
        self.seen: Checkpoint | None = None
        self.asked: list[AddCheckpoint] = []
        self.answer: Callable[[bytes], bytes] = bytes
        self.unreachable = False
        self._private_key = private_key
        self._log_key = log_key
        self._clock = clock

    async def add_checkpoint(self, request: AddCheckpoint) -> bytes:
        """Cosign the next tree of the log. Raises WitnessConflict, WitnessRefused, OSError."""
        self.asked.append(request)
        if self.unreachable:
            raise OSError("unreachable on purpose")
        note = parse_note(request.checkpoint)
        self._take(request, parse_checkpoint_body(note.text), note)
        return self.answer(self._cosigned(note.text))

    def _take(self, request: AddCheckpoint, shown: Checkpoint, note: Note) -> None:
        if shown.origin != self._log_key.name:
            raise WitnessRefused(404)
        try:
            verify_note(note, [self._log_key])
        except VerificationFailed as failure:
            raise WitnessRefused(403) from failure
        if request.old_size > shown.size:
            raise WitnessRefused(400)
        seen_size = self.seen.size if self.seen else 0
        if request.old_size != seen_size:
            raise WitnessConflict(seen_size)
        try:
            _require_extension(self.seen, shown, request.proof)
        except VerificationFailed as failure:
            raise WitnessRefused(422) from failure
        self.seen = shown

    def _cosigned(self, text: bytes) -> bytes:
        time = int(self._clock().timestamp())
        signature = self._private_key.sign(cosignature_message(text, time=time))
        line = NoteSignature(self.key.name, self.key.key_id, time.to_bytes(8, "big") + signature)
        return format_note(Note(text, (line,)))[len(text) + 1 :]


def _require_extension(seen: Checkpoint | None, shown: Checkpoint, proof: Sequence[bytes]) -> None:
    if seen is None or seen.size == 0:
        if proof:
            raise VerificationFailed("there is nothing the proof could start at", step="witness")
        return
    verify_consistency(
        old_size=seen.size,
        old_root=seen.root,
        new_size=shown.size,
        new_root=shown.root,
        proof=proof,
    )


class MemoryCosignatures:
    """The port Cosignatures, over the checkpoints of a size that it is told of."""

    def __init__(self, has_checkpoint: Callable[[int], bool]) -> None:
        self._has_checkpoint = has_checkpoint
        self._lines: dict[int, dict[tuple[str, bytes], NoteSignature]] = {}
        self.faults = FaultSwitch(self)

    @breakable
    def add(self, size: int, line: NoteSignature) -> None:
        """Keep a cosignature. Raises LedgerMismatch without a checkpoint of this size."""
        if not self._has_checkpoint(size):
            raise LedgerMismatch(f"there is no checkpoint of size {size} to cosign")
        self._lines.setdefault(size, {}).setdefault((line.name, line.key_id), line)

    @breakable
    def of(self, size: int) -> Sequence[NoteSignature]:
        """The cosignatures of one checkpoint, in the order they came."""
        return list(self._lines.get(size, {}).values())[:64]

    @breakable
    def newest(self, witness: str, key_id: bytes) -> int:
        """The largest size that this witness key cosigned; 0 if none."""
        sizes = (size for size, lines in self._lines.items() if (witness, key_id) in lines)
        return max(sizes, default=0)

    @breakable
    def best(self, position: int) -> int | None:
        """The smallest of the sizes beyond a position that most witnesses cosigned."""
        beyond = {size: len(lines) for size, lines in self._lines.items() if size > position}
        most = max(beyond.values(), default=0)
        return min((size for size, count in beyond.items() if count == most), default=None)

    @breakable
    def all(self) -> Iterator[tuple[int, NoteSignature]]:
        """Every cosignature with its size, by rising size."""
        return iter([(n, line) for n in sorted(self._lines) for line in self._lines[n].values()])
