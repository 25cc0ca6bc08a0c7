"""Secrets in files that only their owner can read.

Untrusted: permissions are checked on every reading. Once a file was created, it survives
a power cut. `replace_file` puts another form of the same secret into its place; no other
function overwrites one.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

FILE_BYTES_MAX = 32 * 1024  # An RSA key of 8192 bits takes 6.4 KiB in PEM.
SECRET_MODE = 0o600
PUBLIC_MODE = 0o644


class KeyFileError(Exception):
    """A key file is missing, exposed, there already, or not what it should be.

    The message names the file and what to do, and never repeats what is in it.
    """


def create_private_key(path: Path, key: PrivateKey) -> None:
    """Write a private key as PKCS#8 PEM, mode 0600; KeyFileError if `path` exists."""
    create_file(path, private_key_pem(key), mode=SECRET_MODE)


def load_private_key(path: Path, read: Callable[[Path], bytes] | None = None) -> PrivateKey:
    """The private key in a PEM file, which `read` reads; `read_secret` if left out.

    Raises what that does, and KeyFileError when the file holds no unencrypted
    private key of a kind that is used here: Ed25519, elliptic curve or RSA.
    """
    pem = (read or read_secret)(path)
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError:
        raise KeyFileError(f"{path}: the key is encrypted; store it without a password") from None
    except (ValueError, UnsupportedAlgorithm):
        # The library's words could repeat bytes of the key; ours do not.
        raise KeyFileError(f"{path}: holds no private key in PKCS#8 PEM") from None
    if not isinstance(key, PrivateKey):
        raise KeyFileError(f"{path}: holds a key of an unknown kind")
    return key


def load_ed25519_key(
    path: Path, read: Callable[[Path], bytes] | None = None
) -> ed25519.Ed25519PrivateKey:
    """The same for a key that must be Ed25519, as a log's key is."""
    key = load_private_key(path, read)
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise KeyFileError(f"{path}: holds another key than Ed25519")
    return key


def private_key_pem(key: PrivateKey) -> bytes:
    """A private key as PKCS#8 PEM, unencrypted (RFC 5958)."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def read_secret(path: Path) -> bytes:
    """The bytes of a secret file, at most 32 KiB.

    Raises KeyFileError when it is missing, no regular file, larger, or open to group or
    others in any way: a secret that others could have read or changed is one no longer.
    """
    data, mode = _read(path)
    if mode & 0o077:
        raise KeyFileError(
            f"{path}: its mode {mode:04o} lets others at it; chmod 600 it, and replace the key"
            " if anyone may have read it"
        )
    return data


def read_public(path: Path) -> bytes:
    """The bytes of a file anyone may read, at most 32 KiB; KeyFileError if it cannot be read."""
    return _read(path)[0]


def create_file(path: Path, data: bytes, *, mode: int) -> None:
    """Make a file that was not there, with exactly this mode, durable when this returns.

    Raises KeyFileError when `path` exists or cannot be written. A failed write removes the
    file; a crash in the middle may leave a torn one, which the readers refuse.
    """
    try:
        # O_EXCL: never write through a link, and never over a key somebody still needs.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except FileExistsError:
        raise KeyFileError(f"{path}: exists already; keys are never overwritten") from None
    except OSError as error:
        raise KeyFileError(f"{path}: cannot be created: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)  # The umask may have taken bits away.
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        sync_folder(path.parent)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise KeyFileError(f"{path}: cannot be written: {error.strerror}") from error


def replace_file(path: Path, data: bytes, *, mode: int) -> None:
    """Put other bytes into the place of a file: whole and durable, or not at all.

    If we stop in the middle, a file `….new` is left beside it, which the next call removes.
    Raises KeyFileError when that fails.
    """
    fresh = path.with_name(f"{path.name}.new")
    try:
        fresh.unlink(missing_ok=True)
        create_file(fresh, data, mode=mode)
        os.replace(fresh, path)
        sync_folder(path.parent)
    except OSError as error:
        raise KeyFileError(f"{path}: cannot be replaced: {error.strerror}") from error


def sync_folder(folder: Path) -> None:
    """Make the folder's entries durable: a synced file without its name is lost all the same."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> tuple[bytes, int]:
    try:
        # O_NONBLOCK: opening a pipe that nobody writes to must not hang the start.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            # Of the open file, so that nobody can swap it between the question and the reading.
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise KeyFileError(f"{path}: is not a regular file")
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise KeyFileError(f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > FILE_BYTES_MAX:
        raise KeyFileError(f"{path}: is larger than {FILE_BYTES_MAX} bytes")
    return data, stat.S_IMODE(status.st_mode)
