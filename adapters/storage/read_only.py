"""A database opened for reading only, beside the process that goes on writing it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.pool import QueuePool

from adapters.storage.engine import BUSY_TIMEOUT_MS, READERS, Database, as_os_error


class ReadOnlyDatabase(Database):
    """Every reading sees what is committed when it begins. Nothing is ever written.

    Not even what other connections leave for the last one to do: the file stays as it is.
    """

    read_only = True

    def __init__(self, url: str) -> None:
        """Takes what `Database` takes."""
        super().__init__(url)
        self._reader = sa.create_engine(
            "sqlite://",
            creator=lambda: _connect(self.path),
            poolclass=QueuePool,
            pool_size=READERS,
            max_overflow=-1,
        )
        event.listen(self._reader, "begin", lambda each: each.exec_driver_sql("BEGIN"))

    def writing(self, *, disposable: bool = False) -> NoReturn:
        """Raises OSError."""
        raise OSError("this database was opened for reading only")

    def empty_wal(self) -> NoReturn:
        """Raises OSError."""
        self.writing()


class Snapshot(ReadOnlyDatabase):
    """Everything read through it is of one moment, whatever is committed meanwhile.

    For one thread. Nobody waits for it, but the write-ahead log grows until it is closed.
    """

    def __init__(self, url: str) -> None:
        """The moment is now. Raises OSError when the database is not there."""
        super().__init__(url)
        with as_os_error():
            self._connection = self._reader.connect()
            # A transaction sees what was committed when it first read.
            self._connection.exec_driver_sql("SELECT count(*) FROM sqlite_schema").scalar_one()

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """The snapshot."""
        with as_os_error():
            yield self._connection

    def close(self) -> None:
        """Let go of the moment."""
        self._connection.close()
        super().close()


def _connect(path: Path) -> sqlite3.Connection:
    # mode=ro neither creates a file nor copies the write-ahead log into the database.
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro",
        uri=True,
        isolation_level=None,
        check_same_thread=False,  # A pool hands it from thread to thread, one at a time.
    )
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    return connection
