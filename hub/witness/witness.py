"""One request for a cosignature, decided: C2SP tlog-witness, the witness's side."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Lock

from hub.errors import VerificationFailed
from hub.proof.checkpoint import Checkpoint, parse_checkpoint_body
from hub.proof.merkle import verify_consistency
from hub.proof.note import (
    Note,
    NoteSignature,
    VerifierKey,
    cosignature_message,
    format_note,
    parse_note,
    verify_note,
)
from hub.proof.witnessing import SIZE_MEDIA_TYPE, AddCheckpoint, parse_add_checkpoint
from hub.witness.state import WitnessState

_TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the HTTP server answers. `alarm` is for the witness's own log: somebody must look."""

    status: int
    body: bytes
    media_type: str = _TEXT
    alarm: str = ""


def system_clock() -> datetime:
    """The machine's clock, in UTC."""
    return datetime.now(UTC)


class Witness:
    """Cosigns the checkpoints of known logs, each only if it extends the one before."""

    def __init__(
        self,
        state: WitnessState,
        logs: Iterable[VerifierKey],
        clock: Callable[[], datetime],
    ) -> None:
        """`logs` are all keys a checkpoint may be signed with; a key's name is its log's origin.

        Raises WitnessStateError when what was kept of one of them cannot be read.
        """
        self._state = state
        self._clock = clock
        self._keys: dict[str, list[VerifierKey]] = {}
        for key in logs:
            self._keys.setdefault(key.name, []).append(key)
        self._seen = {origin: state.last(origin, keys) for origin, keys in self._keys.items()}
        # One request of a log at a time, from the check to the synced file: else the smaller
        # of two trees could be written over the larger one.
        self._turns = {origin: Lock() for origin in self._keys}

    def add_checkpoint(self, body: bytes) -> Answer:
        """Decide one request; what it answers with 200 is on disk before.

        1. It can be read (400). 2. Its log is known (404) and signed it (403). 3. The old size
        is within the new one (400) and is that of the last checkpoint kept (409 with that
        size). 4. The new tree begins with the old one (422; 409 for another tree of the same
        size). 5. It is kept. 6. It is cosigned (200).
        """
        # (1) It can be read.
        try:
            request = parse_add_checkpoint(body)
            note = parse_note(request.checkpoint)
            shown = parse_checkpoint_body(note.text)
        except VerificationFailed as failure:
            return _refused(400, failure)
        # (2) Its log is known, and signed it.
        if shown.origin not in self._keys:
            return Answer(404, b"this witness does not know the log\n")
        try:
            verify_note(note, self._keys[shown.origin])
        except VerificationFailed as failure:
            return _refused(403, failure)
        with self._turns[shown.origin]:
            return self._advance(request, note, shown)

    def _advance(self, request: AddCheckpoint, note: Note, shown: Checkpoint) -> Answer:
        # (3) It goes on from the last checkpoint kept.
        if request.old_size > shown.size:
            return Answer(400, b"the old size is beyond the checkpoint\n")
        seen = self._seen[shown.origin]
        seen_size = seen.size if seen else 0
        if request.old_size != seen_size:
            return Answer(409, b"%d\n" % seen_size, SIZE_MEDIA_TYPE)
        # (4) The new tree begins with the old one.
        if seen and seen.size == shown.size and seen.root != shown.root:
            return self._contradiction(request, shown)
        try:
            _require_extension(seen, shown, request)
        except VerificationFailed as failure:
            return _refused(422, failure, alarm=f"{shown.origin}: {failure}")
        # (5) It is kept. If we stop after this, the log asks again and gets its cosignature.
        if seen != shown:
            self._state.keep(shown.origin, request.checkpoint)
            self._seen[shown.origin] = shown
        # (6) It is cosigned.
        return Answer(200, self._cosigned(note.text))

    def _contradiction(self, request: AddCheckpoint, shown: Checkpoint) -> Answer:
        path = self._state.keep_contradiction(shown.origin, request.checkpoint)
        return Answer(
            409,
            b"this witness saw another tree of this size\n",
            alarm=f"{shown.origin} signed two trees of size {shown.size}; the other is in {path}",
        )

    def _cosigned(self, text: bytes) -> bytes:
        time = int(self._clock().timestamp())
        key = self._state.verifier_key
        signature = self._state.private_key.sign(cosignature_message(text, time=time))
        line = NoteSignature(key.name, key.key_id, time.to_bytes(8, "big") + signature)
        return format_note(Note(text, (line,)))[len(text) + 1 :]


def _require_extension(seen: Checkpoint | None, shown: Checkpoint, request: AddCheckpoint) -> None:
    if seen is None or seen.size == 0:
        # Every tree extends the empty one, and there is nothing to prove.
        if request.proof:
            raise VerificationFailed("there is nothing the proof could start at", step="witness")
        return
    verify_consistency(
        old_size=seen.size,
        old_root=seen.root,
        new_size=shown.size,
        new_root=shown.root,
        proof=request.proof,
    )


def _refused(status: int, failure: VerificationFailed, *, alarm: str = "") -> Answer:
    return Answer(status, f"{failure}\n".encode(), alarm=alarm)
