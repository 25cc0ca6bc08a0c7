"""An SQLite file as the hub uses it: write-ahead log, synced commits, one writer."""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.pool import QueuePool

from adapters.storage.plain import OnSqlite

# Of the two or three index entries of a request each lands on a page of its own; SQLite's
# 2 MB would hold too few of them to keep the upper levels in memory.
WRITER_CACHE_KIB = 16_384
# How long to wait for another process that is writing, or for readers to let go.
BUSY_TIMEOUT_MS = 10_000
PAGE_BYTES = 16_384
# Pages in the write-ahead log before it is copied into the database: 160 MB. Copying rarely
# is what makes a commit cost one sequential write and one sync.
WAL_AUTOCHECKPOINT_PAGES = 10_000
# Connections for reading that stay open when nobody reads.
READERS = 8

# The order matters: the page size must be chosen before the first write, and switching to
# WAL is one.
_EVERY_CONNECTION = (
    f"PRAGMA page_size = {PAGE_BYTES}",
    "PRAGMA journal_mode = WAL",
    f"PRAGMA wal_autocheckpoint = {WAL_AUTOCHECKPOINT_PAGES}",
    "PRAGMA foreign_keys = ON",
    # Erased text is overwritten with zeros, not only unlinked.
    "PRAGMA secure_delete = ON",
    # Without it, INSERT OR REPLACE deletes rows behind the back of the triggers.
    "PRAGMA recursive_triggers = ON",
)
_WRITER = ("PRAGMA synchronous = FULL",)
# In WAL mode NORMAL may lose the newest commits in a power cut, but never tears one.
_DISPOSABLE_WRITER = ("PRAGMA synchronous = NORMAL",)
_READER = ("PRAGMA query_only = ON",)


class SqliteFile:
    """The port Backend of `engine`, on a file."""

    def __init__(self, url: sa.URL, busy_timeout_ms: int, writer_cache_kib: int) -> None:
        """Raises ValueError for a database in memory: it would be another for each connection."""
        if url.get_backend_name() != "sqlite" or not _is_file(url.database):
            raise ValueError(f"not the URL of an SQLite file: {url!r}")
        self._url = url
        self._busy_timeout_ms = busy_timeout_ms
        # SQLite lets a waiting writer sleep and poll; ours are woken the moment it is free.
        self._turn = Lock()
        self.path = Path(str(url.database))
        self._writer_cache_kib = writer_cache_kib
        self.reader = self.single = self._engine(_READER, begin="BEGIN", kept=READERS)
        # Connections of the same kinds that are lent without a pool's care.
        self._lent_to_write: deque[Any] = deque()
        self._lent_to_read: deque[Any] = deque(maxlen=READERS)

    # Most databases that are opened are only read. Whoever asks for these has the turn.

    @cached_property
    def writer(self) -> sa.Engine:
        """What is committed survives a power cut."""
        cache = f"PRAGMA cache_size = -{self._writer_cache_kib}"
        return self._engine((*_WRITER, cache), begin="BEGIN IMMEDIATE", kept=1)

    @cached_property
    def disposable(self) -> sa.Engine:
        """What is committed survives a crash of the process."""
        return self._engine(_DISPOSABLE_WRITER, begin="BEGIN IMMEDIATE", kept=1)

    def read_only(self) -> sa.Engine:
        """Connections that leave the file as it is; not even WAL pages are copied into it."""
        engine = sa.create_engine(
            "sqlite://",
            creator=lambda: _connect_to_read(self.path),
            poolclass=QueuePool,
            pool_size=READERS,
            max_overflow=-1,
        )
        event.listen(engine, "begin", lambda each: each.exec_driver_sql("BEGIN"))
        return engine

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Writers of this process, one at a time; those of others wait by `busy_timeout`."""
        with self._turn:
            yield

    @contextmanager
    def plain_writing(self, *, disposable: bool) -> Iterator[OnSqlite]:
        """As a transaction of `writer` or `disposable`, in turn with both.

        One connection for both: what one has written, the other would have to read anew.
        """
        with self._turn, _lent(self.writer, self._lent_to_write) as driver:
            driver.execute(f"PRAGMA synchronous = {'NORMAL' if disposable else 'FULL'}")
            plain = OnSqlite(self.writer, driver)
            plain.begin("BEGIN IMMEDIATE")
            yield plain
            plain.commit()

    @contextmanager
    def plain_reading(self) -> Iterator[OnSqlite]:
        """As a transaction of `reader`."""
        with _lent(self.reader, self._lent_to_read) as driver:
            plain = OnSqlite(self.reader, driver)
            plain.begin("BEGIN")
            yield plain
            driver.rollback()

    def lock(self, connection: sa.Connection, area: int) -> None:
        """Nothing: a transaction of a writer holds the only lock from its beginning."""

    def look(self, connection: sa.Connection) -> None:
        """Fix what the transaction sees: a transaction sees what was there when it first read."""
        connection.exec_driver_sql("SELECT count(*) FROM sqlite_schema").scalar_one()

    def forget(self, _tables: Sequence[sa.Table]) -> None:
        """Empty the write-ahead log: the file itself zeroes what it frees."""
        with self._turn, self.writer.connect() as connection:
            # Not through SQLAlchemy, which would begin a transaction and so be in the way.
            driver: Any = connection.connection.driver_connection
            try:
                busy, _pages, _copied = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            except sqlite3.Error as error:
                raise OSError(f"the database failed: {error}") from error
        if busy:
            raise OSError("a reader keeps erased rows in the write-ahead log: try again")

    def close(self) -> None:
        """Close all connections."""
        for kept in (self._lent_to_write, self._lent_to_read):
            while kept:
                kept.pop().close()
        for name in ("reader", "disposable", "writer"):
            if (engine := vars(self).get(name)) is not None:
                engine.pool.dispose()

    def vacuum(self, user_version: int) -> None:
        """Write the file anew, without anything that is no longer used, then mark it."""
        with self._turn, self.writer.connect() as connection:
            driver: Any = connection.connection.driver_connection
            try:
                driver.execute("VACUUM")
                driver.execute(f"PRAGMA user_version = {user_version:d}")
            except sqlite3.Error as error:
                raise OSError(f"the database failed: {error}") from error
        self.forget(())

    def _engine(self, pragmas: Sequence[str], *, begin: str, kept: int) -> sa.Engine:
        # Further connections are opened when more threads read at once than are kept: they
        # cost little, and a pool that makes readers wait can be brought to a deadlock.
        engine = sa.create_engine(self._url, poolclass=QueuePool, pool_size=kept, max_overflow=-1)

        @event.listens_for(engine, "connect")
        def set_up(connection: Any, _record: object) -> None:
            # Python's sqlite3 would begin a transaction only before the first INSERT, with
            # the SELECT before it left outside; so it is told to keep its hands off.
            connection.isolation_level = None
            busy_timeout = f"PRAGMA busy_timeout = {self._busy_timeout_ms}"
            for pragma in (busy_timeout, *_EVERY_CONNECTION, *pragmas):
                connection.execute(pragma)

        @event.listens_for(engine, "begin")
        def begin_transaction(connection: sa.Connection) -> None:
            connection.exec_driver_sql(begin)

        return engine


@contextmanager
def _lent(engine: sa.Engine, kept: deque[Any]) -> Iterator[sqlite3.Connection]:
    try:
        connection = kept.pop()
    except IndexError:
        connection = engine.raw_connection()
    try:
        yield connection.driver_connection
    except BaseException:
        connection.close()  # The pool undoes what was begun, and sees whether it can be used again.
        raise
    kept.append(connection)


def _is_file(database: str | None) -> bool:
    return bool(database) and database != ":memory:" and not str(database).startswith("file:")


def _connect_to_read(path: Path) -> sqlite3.Connection:
    # mode=ro neither creates a file nor copies the write-ahead log into the database.
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro",
        uri=True,
        isolation_level=None,
        check_same_thread=False,  # A pool hands it from thread to thread, one at a time.
    )
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    return connection
