"""Signs only what extends the tree it signed last."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hub.errors import LedgerMismatch, VerificationFailed
from hub.proof.checkpoint import Checkpoint
from hub.proof.merkle import verify_consistency
from hub.proof.note import KeyType, Note, NoteSignature, VerifierKey, format_note
from keys.last_signed import LastSigned, Signed


class CheckpointSigner:
    """The log key together with the memory of what it signed.

    What keeps two signers from signing two histories is the compare-and-swap on
    `last_signed`, which they must share; no lock and no leader is relied on.
    """

    def __init__(
        self, origin: str, private_key: Ed25519PrivateKey, last_signed: LastSigned
    ) -> None:
        """Raises VerificationFailed when no signature line could carry `origin` as a name."""
        self._origin = origin
        self._private_key = private_key
        self._last_signed = last_signed
        public_key = private_key.public_key().public_bytes_raw()
        self._verifier_key = VerifierKey(origin, KeyType.ED25519, public_key)

    @property
    def verifier_key(self) -> VerifierKey:
        """What others check the signatures with; its name is the origin."""
        return self._verifier_key

    @property
    def last(self) -> Signed | None:
        """The head signed last, read from the store; None when nothing was signed yet."""
        return self._last_signed.read()

    def sign(self, size: int, root: bytes, consistency_proof: Sequence[bytes]) -> bytes:
        """The signed note (C2SP tlog-checkpoint) for a tree of `size` leaves under `root`.

        `consistency_proof` leads from the last signed head to this one; it is empty when
        nothing, or only the empty tree, was signed before.

        1. The same head as the last one is signed again: Ed25519 is deterministic
           (RFC 8032 section 5.1.6), so the answer is the same bytes.
        2. A smaller tree, another root at the same size, or another log is refused.
        3. A larger tree must begin with the last signed one.
        4. The new head is stored, by compare-and-swap.
        5. It is signed.

        Raises LedgerMismatch from 2 and 3, SignerConflict and SignerStoreError from 4, and
        VerificationFailed(step="checkpoint") for a size or root that no tree has.
        """
        checkpoint = Checkpoint(self._origin, size, root)
        last = self._last_signed.read()
        new = Signed(self._origin, size, root)
        # (1) Signed before; whoever asked never got the answer, or lost it.
        if new != last:
            # (2) No way back and no second history.
            _refuse_rollback_and_fork(last, new)
            # (3) Nothing changed, removed or slipped in below the new leaves.
            _require_extension(last, new, consistency_proof)
            # (4) If we stop before this, nothing happened. If we stop after it, the head is
            # recorded but unsigned, and the next call finds it in (1) and signs it.
            self._last_signed.advance(last, new)
        # (5) Only what is recorded is ever signed.
        return self._signed_note(checkpoint)

    def _signed_note(self, checkpoint: Checkpoint) -> bytes:
        body = checkpoint.body
        signature = NoteSignature(
            self._verifier_key.name, self._verifier_key.key_id, self._private_key.sign(body)
        )
        return format_note(Note(body, (signature,)))


def _refuse_rollback_and_fork(last: Signed | None, new: Signed) -> None:
    if last is None:
        return
    if last.origin != new.origin:
        raise LedgerMismatch(f"the signer's memory is of the log {last.origin}, not {new.origin}")
    if new.size < last.size:
        raise LedgerMismatch(
            f"size {last.size} was signed already; the tree has only {new.size} leaves"
            " and was rolled back",
            position=new.size,
        )
    if new.size == last.size:
        raise LedgerMismatch(f"size {last.size} was signed already, under another root")


def _require_extension(last: Signed | None, new: Signed, proof: Sequence[bytes]) -> None:
    if last is None or last.size == 0:
        # Every tree extends the empty one, and there is nothing to prove.
        if proof:
            raise LedgerMismatch("a proof was given, but nothing was signed that it could start at")
        return
    try:
        verify_consistency(
            old_size=last.size,
            old_root=last.root,
            new_size=new.size,
            new_root=new.root,
            proof=proof,
        )
    except VerificationFailed as failure:
        raise LedgerMismatch(
            f"the tree of {new.size} leaves does not begin with the {last.size} signed ones:"
            f" {failure}"
        ) from failure
