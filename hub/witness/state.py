"""What a witness keeps: its key, and the last checkpoint of each log it saw.

Trusted: whoever can change this folder can make the witness cosign a fork. It must never be
restored from a backup: an older checkpoint in it is a permission to rewrite what came since.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from hub.errors import VerificationFailed
from hub.proof.checkpoint import Checkpoint, open_checkpoint
from hub.proof.note import NOTE_BYTES_MAX, KeyType, VerifierKey

_KEY_BYTES_MAX = 4096


class WitnessStateError(Exception):
    """A witness's folder is missing, busy, damaged or exposed; the message says what to do."""


class WitnessState:
    """The folder of one witness: `key.pem`, `vkey`, and a file for each log it has seen."""

    def __init__(self, folder: Path, key: Ed25519PrivateKey, verifier_key: VerifierKey) -> None:
        """Use `create` or `open_state` instead."""
        self.private_key = key
        self.verifier_key = verifier_key
        self._folder = folder

    @classmethod
    def create(cls, folder: Path, name: str) -> VerifierKey:
        """Make a witness of this name with a new key, and return its public half.

        Raises WitnessStateError when the folder is not empty, VerificationFailed(step="key")
        for a name that no signature line can carry.
        """
        private_key = Ed25519PrivateKey.generate()
        public_key = private_key.public_key().public_bytes_raw()
        verifier_key = VerifierKey(name, KeyType.COSIGNATURE, public_key)
        pem = private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise WitnessStateError(f"{folder} is not empty; a witness is made in a new folder")
            _write(folder / "vkey", f"{verifier_key.format()}\n".encode(), mode=0o644)
            # Last: a folder without it is not a witness's yet.
            _write(folder / "key.pem", pem, mode=0o600)
            _sync(folder.parent)
        except OSError as error:
            raise WitnessStateError(f"{folder} cannot be written: {error.strerror}") from error
        return verifier_key

    def last(self, origin: str, log_keys: list[VerifierKey]) -> Checkpoint | None:
        """The last checkpoint of a log that was kept; None before the first.

        Its signature is checked again. Raises WitnessStateError: a witness that does not know
        any more what it saw must not cosign.
        """
        path = self._of(origin)
        try:
            note = _read(path, NOTE_BYTES_MAX)
            return open_checkpoint(note, log_keys=log_keys, origin=origin)
        except FileNotFoundError:
            return None
        except (OSError, VerificationFailed) as error:
            raise WitnessStateError(
                f"{path} does not hold a checkpoint of {origin}: {error}; do not remove it"
                " before you know why"
            ) from error

    def keep(self, origin: str, note: bytes) -> None:
        """Replace the last checkpoint of a log, in one step, durable on return."""
        _write(self._of(origin), note, mode=0o600)

    def keep_contradiction(self, origin: str, note: bytes) -> Path:
        """Keep the first signed checkpoint of a log that contradicts what was seen; where."""
        path = self._of(origin).with_suffix(".contradiction")
        if not path.exists():
            _write(path, note, mode=0o600)
        return path

    def _of(self, origin: str) -> Path:
        return self._folder / f"{hashlib.sha256(origin.encode()).hexdigest()}.checkpoint"


@contextmanager
def open_state(folder: Path) -> Iterator[WitnessState]:
    """The witness of a folder, for this process alone. Raises WitnessStateError."""
    try:
        private_key = _load_key(folder / "key.pem")
        vkey = _read(folder / "vkey", _KEY_BYTES_MAX).decode().removesuffix("\n")
        verifier_key = VerifierKey.parse(vkey)
    except (OSError, UnicodeDecodeError, VerificationFailed) as error:
        raise WitnessStateError(
            f"{folder} holds no witness ({error}); make one with `lienthong witness init`"
        ) from error
    if verifier_key.public_key != private_key.public_key().public_bytes_raw():
        raise WitnessStateError(f"{folder}: `vkey` is not the public half of `key.pem`")
    with _locked(folder):
        yield WitnessState(folder, private_key, verifier_key)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    # Two processes over one folder would cosign two histories in turn.
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise WitnessStateError(f"another process is using {folder}; stop it first") from error
    finally:
        os.close(descriptor)


def _load_key(path: Path) -> Ed25519PrivateKey:
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise WitnessStateError(
            f"{path}: its mode lets others at it; chmod 600 it, and make a new witness if anyone"
            " may have read it"
        )
    try:
        key = load_pem_private_key(_read(path, _KEY_BYTES_MAX), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The library's words could repeat bytes of the key; ours do not.
        raise WitnessStateError(f"{path}: holds no private key in PKCS#8 PEM") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise WitnessStateError(f"{path}: holds another key than Ed25519")
    return key


def _read(path: Path, bytes_max: int) -> bytes:
    with path.open("rb") as file:
        return file.read(bytes_max + 1)


def _write(path: Path, data: bytes, *, mode: int) -> None:
    # If we stop before the rename, the old file stands and the next write takes this place.
    unfinished = path.with_name(f"{path.name}.new")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.rename(unfinished, path)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
