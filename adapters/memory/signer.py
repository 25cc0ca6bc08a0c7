"""A log key in memory, with its memory of what it signed."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from adapters.memory.faults import FaultSwitch, breakable
from hub.errors import LedgerMismatch, VerificationFailed
from hub.proof.checkpoint import Checkpoint
from hub.proof.merkle import verify_consistency
from hub.proof.note import KeyType, Note, NoteSignature, VerifierKey, format_note


class MemorySigner:
    """The port Signer, for the log `origin`; `seed` (32 bytes) makes the key."""

    def __init__(self, origin: str, seed: bytes = bytes(32)) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self._last: Checkpoint | None = None
        public_key = self._key.public_key().public_bytes_raw()
        self.verifier_key = VerifierKey(origin, KeyType.ED25519, public_key)
        self.faults = FaultSwitch(self)

    @property
    def last(self) -> Checkpoint | None:
        """The last tree signed, or None if there was none."""
        return self._last

    @breakable
    def sign(self, size: int, root: bytes, consistency_proof: Sequence[bytes]) -> bytes:
        """A signed note over the tree of this size and root.

        Raises LedgerMismatch when the tree does not extend the last one.
        """
        checkpoint = Checkpoint(self.verifier_key.name, size, root)
        self._require_extension(checkpoint, consistency_proof)
        self._last = checkpoint
        signature = NoteSignature(
            self.verifier_key.name, self.verifier_key.key_id, self._key.sign(checkpoint.body)
        )
        return format_note(Note(checkpoint.body, (signature,)))

    def _require_extension(self, new: Checkpoint, proof: Sequence[bytes]) -> None:
        last = self._last
        if last is None or new == last or (last.size == 0 and not proof):
            return
        try:
            verify_consistency(
                old_size=last.size,
                old_root=last.root,
                new_size=new.size,
                new_root=new.root,
                proof=proof,
            )
        except VerificationFailed as error:
            raise LedgerMismatch(f"the tree does not extend the last one: {error}") from error
