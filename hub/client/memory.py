"""The largest checkpoint a client has seen of each log: what the hub can no longer take back."""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path

from hub.client.errors import StateDamaged
from hub.client.state import read_at_most, write_durably
from hub.errors import VerificationFailed
from hub.proof.checkpoint import Checkpoint, parse_checkpoint_body
from hub.proof.note import NOTE_BYTES_MAX, parse_note
from hub.proof.strict import encode_base64


class CheckpointMemory:
    """Keeps one signed checkpoint per log in a folder, each replaced as a whole.

    Nothing here decides: the caller has verified a note, and proven it consistent with the
    one kept before, when it calls `keep`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._notes: dict[str, bytes] = {}
        self._mutex = threading.Lock()
        self._closed = False

    def largest(self, origin: str) -> tuple[Checkpoint, bytes] | None:
        """The checkpoint kept for this log, with its signed note; None before the first.

        Raises StateDamaged when the file cannot be read: going on without it would let the
        hub begin a new history unnoticed.
        """
        note = self._notes.get(origin) or read_at_most(self._path(origin), NOTE_BYTES_MAX)
        if note is None:
            return None
        try:
            checkpoint = parse_checkpoint_body(parse_note(note).text)
        except VerificationFailed as failure:
            raise StateDamaged(f"{self._path(origin)}: {failure}") from failure
        if checkpoint.origin != origin:
            raise StateDamaged(f"{self._path(origin)} is of another log")
        return checkpoint, note

    def keep(self, origin: str, checkpoint: Checkpoint, note: bytes) -> None:
        """Remember this checkpoint, with its signed note, as the largest; durable on return.

        A larger one is never given up: a call that was cancelled may still be writing when
        the next one has gone further.
        """
        with self._mutex:
            if self._closed:
                return
            known = self.largest(origin)
            if known is None or known[0].size < checkpoint.size:
                write_durably(self._path(origin), note)
                self._notes[origin] = note

    def close(self) -> None:
        """Write nothing more; waits for a write under way."""
        with self._mutex:
            self._closed = True

    def keep_contradiction(self, *, kept: bytes, shown: bytes) -> Path:
        """Write two signed checkpoints that exclude each other where an auditor finds them."""
        pair = {"kept": encode_base64(kept), "shown": encode_base64(shown)}
        data = json.dumps(pair, indent=2, sort_keys=True).encode() + b"\n"
        path = self._folder / f"contradiction-{hashlib.sha256(data).hexdigest()[:16]}.json"
        write_durably(path, data)
        return path

    def _path(self, origin: str) -> Path:
        # A hash, because an origin holds slashes and two must never share a file.
        return self._folder / f"{hashlib.sha256(origin.encode()).hexdigest()[:32]}.checkpoint"
