"""A database opened for reading only, beside the process that goes on writing it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import sqlalchemy as sa

from adapters.storage.engine import Area, Database, as_os_error


class ReadOnlyDatabase(Database):
    """Every reading sees what is committed when it begins. Nothing is ever written.

    Not even what other connections leave for the last one to do: the file stays as it is.
    """

    read_only = True

    def __init__(self, url: str) -> None:
        """Takes what `Database` takes."""
        super().__init__(url)
        self._reader = self._backend.read_only()
        self._file = None

    def writing(
        self, area: Area = Area.LOG, *, disposable: bool = False, by_any: bool = False
    ) -> NoReturn:
        """Raises OSError."""
        raise OSError("this database was opened for reading only")

    def forget(self, *tables: sa.Table) -> NoReturn:
        """Raises OSError."""
        self.writing()


class Snapshot(ReadOnlyDatabase):
    """Everything read through it is of one moment, whatever is committed meanwhile.

    For one thread. Nobody waits for it, but what is removed meanwhile stays until it is closed.
    """

    def __init__(self, url: str) -> None:
        """The moment is now. Raises OSError when the database is not there."""
        super().__init__(url)
        with as_os_error():
            self._connection = self._reader.connect()
            self._backend.look(self._connection)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """The snapshot."""
        with as_os_error():
            yield self._connection

    def close(self) -> None:
        """Let go of the moment."""
        self._connection.close()
        super().close()
