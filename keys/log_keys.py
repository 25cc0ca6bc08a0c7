"""The log's keys in files of one folder: `log-key.pem`, then a numbered one for each later key."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from keys.checkpoint_signer import LogKey
from keys.file import (
    SECRET_MODE,
    KeyFileError,
    load_ed25519_key,
    private_key_pem,
    replace_file,
    sync_folder,
)

FIRST = "log-key.pem"
_NUMBERED = re.compile(r"log-key-([1-9][0-9]{0,8})\.pem")


def log_key_files(folder: Path) -> list[Path]:
    """The files of the log's keys, the oldest first."""
    numbered = {
        int(match[1]): path
        for path in folder.glob("log-key-*.pem")
        if (match := _NUMBERED.fullmatch(path.name))
    }
    first = folder / FIRST
    later = [numbered[number] for number in sorted(numbered)]
    return [first, *later] if first.exists() else later


class FileLogKeys:
    """The port LogKeys over a folder. A key is whole under its name, or not there at all."""

    def __init__(
        self,
        folder: Path,
        read: Callable[[Path], bytes],
        seal: Callable[[bytes], bytes] = bytes,
    ) -> None:
        """`read` opens a key file; `seal` makes of a key's PEM what is written, if anything."""
        self._folder = folder
        self._read = read
        self._seal = seal

    def all(self) -> Sequence[LogKey]:
        """Those there are. Raises KeyFileError, and KeyFileError when there is none."""
        # A folder without any is one that was moved away: its first file is the one missed.
        return [_FileKey(path, self._read) for path in self._files() or [self._folder / FIRST]]

    def make(self) -> LogKey:
        """One more, under the next number. Raises OSError."""
        numbers = [int(match[1]) for path in self._files() if (match := _number(path))]
        path = self._folder / f"log-key-{max(numbers, default=1) + 1}.pem"
        sealed = self._seal(private_key_pem(Ed25519PrivateKey.generate()))
        try:
            replace_file(path, sealed, mode=SECRET_MODE)
            return _FileKey(path, self._read)
        except KeyFileError as error:
            raise OSError(str(error)) from error

    def destroy(self, key: LogKey) -> None:
        """Remove its file."""
        wanted = key.public_key()
        for path in self._files():
            if _FileKey(path, self._read).public_key() == wanted:
                path.unlink()
        sync_folder(self._folder)

    def _files(self) -> list[Path]:
        return log_key_files(self._folder)


class _FileKey:
    def __init__(self, path: Path, read: Callable[[Path], bytes]) -> None:
        self._key = load_ed25519_key(path, read)

    def public_key(self) -> Ed25519PublicKey:
        return self._key.public_key()

    def sign(self, data: bytes, /) -> bytes:
        return self._key.sign(data)


def _number(path: Path) -> re.Match[str] | None:
    return _NUMBERED.fullmatch(path.name)
