"""Files for a moment: encrypted under a key that no disk ever sees, gone when they are closed."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

from hub.application.ports import Randomness

_KEY_BYTES, _BLOCK_BYTES = 32, 16
_BUFFER_BYTES = 1 << 18


def scratch_in(folder: Path, randomness: Randomness) -> Callable[[], BinaryIO]:
    """What makes such files in a folder: empty, for reading and writing, nameless.

    A crash leaves nothing that anybody could read.
    """

    def scratch() -> BinaryIO:
        # Whoever asked for it closes it.
        file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
        return cast(BinaryIO, io.BufferedRandom(_Sealed(file, randomness), _BUFFER_BYTES))

    return scratch


class _Sealed(io.RawIOBase):
    """A file under AES-CTR, any part of which can be read or written again.

    Writing a place a second time under one key would show what changed to whoever kept both;
    nobody has the first, which is overwritten. Nothing authenticates it: what must be known to
    be unchanged is hashed by whoever reads it.
    """

    def __init__(self, file: io.FileIO | BinaryIO, randomness: Randomness) -> None:
        self._file = file
        self._key = randomness(_KEY_BYTES)
        self._place = 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def writable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place."""
        self._place = self._file.seek(offset, whence)
        return self._place

    def tell(self) -> int:
        """Where it stands."""
        return self._place

    def truncate(self, size: int | None = None) -> int:
        """Cut it off."""
        return self._file.truncate(self._place if size is None else size)

    # Typed for any buffer, which has no length to ask for; io.BufferedRandom hands in these two.
    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Read into a buffer; how many bytes."""
        self._file.seek(self._place)
        data = self._file.read(len(buffer))
        buffer[: len(data)] = self._turned(data)
        self._place += len(data)
        return len(data)

    # As above.
    def write(self, data: bytes | bytearray | memoryview) -> int:  # type: ignore[override]
        """Write; how many bytes."""
        self._file.seek(self._place)
        written = self._file.write(self._turned(bytes(data)))
        self._place += written
        return written

    def close(self) -> None:
        """Close it, whereupon it is gone."""
        if not self.closed:
            super().close()
            self._file.close()

    def _turned(self, data: bytes) -> bytes:
        block, skipped = divmod(self._place, _BLOCK_BYTES)
        stream = Cipher(AES(self._key), CTR(block.to_bytes(_BLOCK_BYTES, "big"))).encryptor()
        stream.update(bytes(skipped))
        return stream.update(data)
