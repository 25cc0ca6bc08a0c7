"""The folder in which a client keeps what must survive it, for one identity and one process."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from hub.client.errors import StateDamaged, StateInUse

_IDENTITY_BYTES_MAX = 1000
_TEMPORARY = ".new-"  # A file that a crash kept from its place begins so.


class StateDirectory:
    """A folder only its owner can read, held by one client at a time.

    Trusted: whoever can write here can make this client forget what the hub once showed it.
    It holds signed statements and receipts, never a private key.
    """

    def __init__(self, path: Path, identity: str) -> None:
        """Make the folder if needed and take its lock; `identity` names hub and agency.

        Raises StateInUse when another client holds it, StateDamaged when it belongs to
        another identity. The lock ends with `close`, and with the process however it dies.
        """
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = path
        self._lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._take(identity)
        except BaseException:
            self.close()
            raise

    def folder(self, name: str) -> Path:
        """A folder of that name inside; made if needed."""
        folder = self.path / name
        if not folder.is_dir():
            folder.mkdir(mode=0o700, exist_ok=True)
            sync_folder(self.path)
        return folder

    def close(self) -> None:
        """Give the folder back. Harmless when done twice."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _take(self, identity: str) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StateInUse(f"another client works with {self.path}") from error
        for left_behind in self.path.glob(f"{_TEMPORARY}*"):
            left_behind.unlink()
        owner = self.path / "identity"
        found = read_at_most(owner, _IDENTITY_BYTES_MAX)
        if found is None:
            write_durably(owner, identity.encode())
        elif found != identity.encode():
            # Two identities in one journal would repeat one agency's statements as another's.
            raise StateDamaged(f"{self.path} belongs to {found.decode(errors='replace')}")


def write_durably(path: Path, data: bytes) -> None:
    """Put a file in place so that a crash leaves the old content or the new, never half.

    When this returns, the new content survives a power cut. The file is for its owner only.
    """
    with writing_durably(path) as file:
        file.write(data)


@contextmanager
def writing_durably(path: Path) -> Iterator[BinaryIO]:
    """The same for content that comes piece by piece; in place at the end of the block.

    If the block raises, nothing has changed.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=_TEMPORARY)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make the names in a folder survive a power cut."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_at_most(path: Path, bytes_max: int) -> bytes | None:
    """The content of a file, None if there is none. Raises StateDamaged if it is larger."""
    try:
        with path.open("rb") as file:
            data = file.read(bytes_max + 1)
    except FileNotFoundError:
        return None
    if len(data) > bytes_max:
        raise StateDamaged(f"{path} is larger than anything this client writes")
    return data
