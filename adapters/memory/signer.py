"""Log keys in memory, with their memory of what they signed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from adapters.memory.faults import FaultSwitch, breakable
from hub.errors import LedgerMismatch, VerificationFailed
from hub.proof.checkpoint import Checkpoint
from hub.proof.merkle import verify_consistency
from hub.proof.note import KeyType, Note, NoteSignature, VerifierKey, format_note


class MemorySigner:
    """The port Signer, for the log `origin`; `seed` (32 bytes) makes the first key."""

    def __init__(self, origin: str, seed: bytes = bytes(32)) -> None:
        self._origin = origin
        self._held: dict[VerifierKey, Ed25519PrivateKey] = {}
        self._made = 0
        self._last: Checkpoint | None = None
        self._add(seed)
        self.faults = FaultSwitch(self)

    @property
    def keys(self) -> tuple[VerifierKey, ...]:
        """What its signatures verify under, the oldest first."""
        return tuple(self._held)

    @property
    def verifier_key(self) -> VerifierKey:
        """The oldest."""
        return self.keys[0]

    @breakable
    def make_key(self) -> VerifierKey:
        """One more key, the same one in each run."""
        self._made += 1
        return self._add(hashlib.sha256(b"log key %d" % self._made).digest())

    @breakable
    def destroy_key(self, key: VerifierKey) -> None:
        """Destroy a key, but never the last."""
        if key in self._held and len(self._held) == 1:
            raise OSError("the last key of a log is not destroyed")
        self._held.pop(key, None)

    @property
    def last(self) -> Checkpoint | None:
        """The last tree signed, or None if there was none."""
        return self._last

    @breakable
    def sign(
        self,
        size: int,
        root: bytes,
        consistency_proof: Sequence[bytes],
        by: Sequence[VerifierKey] = (),
    ) -> bytes:
        """A signed note over the tree of this size and root.

        Raises LedgerMismatch when the tree does not extend the last one, OSError for a key
        that is not there.
        """
        checkpoint = Checkpoint(self._origin, size, root)
        signers = by or self.keys[:1]
        if any(key not in self._held for key in signers):
            raise OSError("the signer does not have this key")
        self._require_extension(checkpoint, consistency_proof)
        self._last = checkpoint
        lines = (
            NoteSignature(key.name, key.key_id, self._held[key].sign(checkpoint.body))
            for key in signers
        )
        return format_note(Note(checkpoint.body, tuple(lines)))

    def _add(self, seed: bytes) -> VerifierKey:
        private_key = Ed25519PrivateKey.from_private_bytes(seed)
        public_key = private_key.public_key().public_bytes_raw()
        key = VerifierKey(self._origin, KeyType.ED25519, public_key)
        self._held[key] = private_key
        return key

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
