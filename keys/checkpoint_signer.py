"""Signs only what extends the tree it signed last, with the keys that the log names."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hub.errors import LedgerMismatch, VerificationFailed
from hub.proof.checkpoint import Checkpoint
from hub.proof.merkle import verify_consistency
from hub.proof.note import KeyType, Note, NoteSignature, VerifierKey, format_note
from keys.age import KeySecretMissing, KeySecretWrong
from keys.file import KeyFileError
from keys.last_signed import LastSigned, Signed

# Two that sign, one that waits, and some that ended while nobody could finish their end.
KEYS_MAX = 8


class LogKey(Protocol):
    """An Ed25519 key, wherever it lies. Deterministic (RFC 8032 section 5.1.6)."""

    def public_key(self) -> Ed25519PublicKey:
        """The public half."""
        ...

    def sign(self, data: bytes, /) -> bytes:
        """64 bytes; OSError when the key cannot be had now."""
        ...


class LogKeys(Protocol):
    """The keys of one log, in one place: files of one folder, or one token."""

    def all(self) -> Sequence[LogKey]:
        """Those there are, the oldest first; OSError when they cannot be had now."""
        ...

    def make(self) -> LogKey:
        """One more, durable when this returns. OSError when it cannot be made."""
        ...

    def destroy(self, key: LogKey) -> None:
        """No longer one of them. The same again changes nothing."""
        ...


class KeyNotHeld(OSError):
    """The signer does not have a key that it is asked to sign with."""


class TooManyKeys(OSError):
    """More keys than a rotation ever needs: end some of them first."""


class KeysUnusable(OSError):
    """The keys cannot be had now: a file is gone or damaged, or what opens it does not."""


class CheckpointSigner:
    """The log's keys together with the one memory of what they signed.

    What keeps two signers from signing two histories is the compare-and-swap on
    `last_signed`, which they must share; no lock and no leader is relied on. Which of the keys
    sign a tree is the log's to say, and the hub's to read there.
    """

    def __init__(self, origin: str, keys: LogKeys, last_signed: LastSigned) -> None:
        """Raises VerificationFailed when no signature line could carry `origin` as a name."""
        self._origin = origin
        self._keys = keys
        self._last_signed = last_signed
        self._lock = threading.Lock()
        self._held = self._read_keys()

    @property
    def keys(self) -> tuple[VerifierKey, ...]:
        """What others check the signatures with, the oldest first; named like the origin."""
        return tuple(self._held)

    @property
    def verifier_key(self) -> VerifierKey:
        """The oldest of them."""
        return self.keys[0]

    def make_key(self) -> VerifierKey:
        """One more key, which signs nothing before it is asked to. Raises TooManyKeys, OSError."""
        with self._lock:
            if len(self._held) >= KEYS_MAX:
                raise TooManyKeys(f"the signer holds {KEYS_MAX} keys; end some of them first")
            with _had():
                made = self._keys.make()
                self._held = self._read_keys()
                return self._verifier_key_of(made)

    def destroy_key(self, key: VerifierKey) -> None:
        """Destroy a key for good; the same again changes nothing. Raises KeyNotHeld for the last.

        A log without a key has ended: no mistake of a hub may bring that about.
        """
        with self._lock:
            if key not in self._held:
                return
            if len(self._held) == 1:
                raise KeyNotHeld("the last key of a log is not destroyed")
            with _had():
                self._keys.destroy(self._held[key])
                self._held = self._read_keys()

    @property
    def last(self) -> Signed | None:
        """The head signed last, read from the store; None when nothing was signed yet."""
        return self._last_signed.read()

    def sign(
        self,
        size: int,
        root: bytes,
        consistency_proof: Sequence[bytes],
        by: Sequence[VerifierKey] = (),
    ) -> bytes:
        """The signed note (C2SP tlog-checkpoint) for a tree of `size` leaves under `root`.

        `consistency_proof` leads from the last signed head to this one; it is empty when
        nothing, or only the empty tree, was signed before. `by` are the keys that sign, one
        line each in their order; the oldest if left out.

        1. The same head as the last one is signed again: Ed25519 is deterministic
           (RFC 8032 section 5.1.6), so the answer is the same bytes.
        2. A smaller tree, another root at the same size, or another log is refused.
        3. A larger tree must begin with the last signed one.
        4. The new head is stored, by compare-and-swap.
        5. It is signed.

        Raises LedgerMismatch from 2 and 3, SignerConflict and SignerStoreError from 4, OSError
        from 5, KeyNotHeld before all of them, and VerificationFailed(step="checkpoint") for a
        size or root that no tree has.
        """
        checkpoint = Checkpoint(self._origin, size, root)
        signers = self._signers(by)
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
        with _had():
            return self._signed_note(checkpoint.body, signers)

    def _signed_note(self, body: bytes, signers: Sequence[tuple[VerifierKey, LogKey]]) -> bytes:
        lines = (NoteSignature(key.name, key.key_id, held.sign(body)) for key, held in signers)
        return format_note(Note(body, tuple(lines)))

    def _signers(self, by: Sequence[VerifierKey]) -> list[tuple[VerifierKey, LogKey]]:
        held = self._held
        missing = [key.format() for key in by if key not in held]
        if missing:
            raise KeyNotHeld(f"the signer does not have the key {missing[0]}")
        return [(key, held[key]) for key in by or [next(iter(held))]]

    def _read_keys(self) -> dict[VerifierKey, LogKey]:
        found = {self._verifier_key_of(key): key for key in self._keys.all()}
        if not found:
            raise KeyNotHeld("the signer has no key")
        return found

    def _verifier_key_of(self, key: LogKey) -> VerifierKey:
        public_key = key.public_key().public_bytes_raw()
        return VerifierKey(self._origin, KeyType.ED25519, public_key)


@contextmanager
def _had() -> Iterator[None]:
    """After the start a key that cannot be used is like a signer that is away."""
    try:
        yield
    except (KeyFileError, KeySecretMissing, KeySecretWrong) as error:
        raise KeysUnusable(str(error)) from error


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
