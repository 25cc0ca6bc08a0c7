"""The last tree head this hub signed, in a store of the signer's own.

Never restored from a backup together with the main database: it is what notices that the
database went back. Trusted: whoever can write this file can make the signer sign a fork
(which kept receipts and witnesses then expose).
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from hub.proof.merkle import HASH_BYTES
from keys.file import SECRET_MODE, create_file, sync_folder

# Says whose file this is: another SQLite file in its place is refused ("LTLS").
_APPLICATION_ID = 0x4C544C53
_FORMAT = 1
_SIZE_MAX = 2**63 - 1  # SQLite's largest integer, and the largest size a checkpoint can have.
_BUSY_TIMEOUT_S = 5.0

_TABLE = """
CREATE TABLE last_signed (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    origin   TEXT    NOT NULL,
    size     INTEGER NOT NULL CHECK (typeof(size) = 'integer' AND size >= 0),
    root     BLOB    NOT NULL CHECK (typeof(root) = 'blob' AND length(root) = 32)
)
"""


@dataclass(frozen=True, slots=True)
class Signed:
    """A tree head: `size` leaves under `root` (32 bytes) in the log called `origin`.

    Raises ValueError for a size or root that no checkpoint can have.
    """

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        if not 0 <= self.size <= _SIZE_MAX or len(self.root) != HASH_BYTES:
            raise ValueError("a size from 0 to 2^63 - 1 and a root of 32 bytes make a tree head")


class SignerStoreError(Exception):
    """The signer's store is missing, damaged, busy for too long, or cannot be written.

    After a failed `advance` the new head may or may not have been kept: read again.
    """


class SignerConflict(Exception):
    """Somebody else signed in between: the stored head is not the expected one."""


class LastSigned:
    """One row, changed only by compare-and-swap; for any number of threads and processes."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Use `create` or `open` instead."""
        self._connection = connection
        self._lock = threading.Lock()

    @classmethod
    def create(cls, path: Path) -> LastSigned:
        """A new, empty store at `path`, mode 0600.

        Raises KeyFileError when anything is there, SignerStoreError when it cannot be set up.
        A crash in the middle leaves a file that `open` refuses as incomplete.
        """
        create_file(path, b"", mode=SECRET_MODE)
        connection = _connect(path, _set_up)
        sync_folder(path.parent)
        return cls(connection)

    @classmethod
    def open(cls, path: Path) -> LastSigned:
        """The store at `path`, which must exist: a hub that lost it must not get an empty one.

        What `read` returns from then on is durable, even if the last writer died between
        writing and syncing. Raises SignerStoreError.
        """
        return cls(_connect(path, _check_and_make_durable))

    @classmethod
    def open_to_read(cls, path: Path) -> LastSigned:
        """The store at `path` beside a signer that uses it; nothing is written.

        What `read` returns need not be durable yet. Raises SignerStoreError.
        """
        return cls(_connect(path, _check, mode="ro"))

    def close(self) -> None:
        """Let go of the file. Nothing is lost by not calling this."""
        with self._lock:
            self._connection.close()

    def read(self) -> Signed | None:
        """The head signed last, or None when nothing was signed yet."""
        with self._lock, _translated():
            return self._row()

    def advance(self, expected: Signed | None, new: Signed) -> None:
        """Replace `expected` by `new`, durably: one commit, one fsync.

        Raises SignerConflict when the stored head is not `expected`, and then changes
        nothing; SignerStoreError when it is not known whether `new` was kept.
        """
        with self._lock, _translated():
            # IMMEDIATE takes the write lock before reading, so nobody gets in between.
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                if (stored := self._row()) != expected:
                    raise SignerConflict(
                        f"expected {_words(expected)} as the last signed head, found"
                        f" {_words(stored)}: another signer is at work on this store"
                    )
                self._connection.execute(
                    "INSERT OR REPLACE INTO last_signed VALUES (1, ?, ?, ?)",
                    (new.origin, new.size, new.root),
                )
                self._connection.execute("COMMIT")
            except BaseException:
                # A failed COMMIT may have ended the transaction already.
                with suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise

    def _row(self) -> Signed | None:
        row = self._connection.execute("SELECT origin, size, root FROM last_signed").fetchone()
        try:
            return None if row is None else Signed(*row)
        except (TypeError, ValueError) as error:
            # SQLite reads what is left of a file that was cut off as if it were whole.
            raise sqlite3.DatabaseError("what it holds is no tree head") from error


def _connect(
    path: Path, prepare: Callable[[sqlite3.Connection], None], *, mode: str = "rw"
) -> sqlite3.Connection:
    with _translated(path):
        # Neither mode creates a file; as_uri escapes what would end the path in a URI.
        connection = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode={mode}",
            uri=True,
            timeout=_BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            # With WAL a commit is one sync instead of three; FULL makes it happen each time.
            connection.execute("PRAGMA synchronous = FULL")
            prepare(connection)
        except BaseException:
            connection.close()
            raise
    return connection


def _set_up(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(_TABLE)
    # In the same transaction: a file either is a whole store or does not claim to be one.
    connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {_FORMAT}")
    connection.execute("COMMIT")


def _check(connection: sqlite3.Connection) -> None:
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (format_number,) = connection.execute("PRAGMA user_version").fetchone()
    if application_id != _APPLICATION_ID:
        raise sqlite3.DatabaseError("not a signer's store, or its creation was interrupted")
    if format_number != _FORMAT:
        raise sqlite3.DatabaseError(f"format {format_number}; this version reads {_FORMAT}")


def _check_and_make_durable(connection: sqlite3.Connection) -> None:
    _check(connection)
    # A head may stand in the WAL without ever having reached the disk, if its writer died or
    # its sync failed. Signing it *again* writes nothing, so it must become durable now.
    (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise sqlite3.OperationalError("another process is writing to it")


@contextmanager
def _translated(path: Path | None = None) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        where = f"the signer's store {path}" if path else "the signer's store"
        raise SignerStoreError(f"{where} cannot be used: {error}") from error


def _words(head: Signed | None) -> str:
    return "nothing" if head is None else f"size {head.size} of {head.origin}"
