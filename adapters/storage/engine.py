"""How the hub opens a database: one connection that writes, several that only read."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.pool import QueuePool

# Of the two or three index entries of a request each lands on a page of its own; SQLite's
# 2 MB would hold too few of them to keep the upper levels in memory.
WRITER_CACHE_KIB = 65_536
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
_WRITER = ("PRAGMA synchronous = FULL", f"PRAGMA cache_size = -{WRITER_CACHE_KIB}")
# In WAL mode NORMAL may lose the newest commits in a power cut, but never tears one.
_DISPOSABLE_WRITER = ("PRAGMA synchronous = NORMAL",)
_READER = ("PRAGMA query_only = ON",)


class Database:
    """A database, used by any number of threads.

    Readers see the last committed state and never wait; writers take turns. Errors of the
    database other than broken constraints leave here as OSError, so that nobody above has
    to know which database it is.
    """

    read_only = False

    def __init__(self, url: str, *, busy_timeout_ms: int = BUSY_TIMEOUT_MS) -> None:
        """`url` is `sqlite:///relative/path` or `sqlite:////absolute/path`.

        Raises ValueError for another database, one in memory included: it would be a
        different one for each connection.
        """
        self._url = sa.make_url(url)
        if self._url.get_backend_name() != "sqlite" or not _is_file(self._url.database):
            raise ValueError(f"not the URL of an SQLite file: {self._url!r}")
        self._busy_timeout_ms = busy_timeout_ms
        # SQLite lets a waiting writer sleep and poll; ours are woken the moment it is free.
        self._turn = Lock()
        self._writer = self._engine(_WRITER, begin="BEGIN IMMEDIATE", kept=1)
        self._disposable = self._engine(_DISPOSABLE_WRITER, begin="BEGIN IMMEDIATE", kept=1)
        self._reader = self._engine(_READER, begin="BEGIN", kept=READERS)

    @property
    def path(self) -> Path:
        """The file."""
        return Path(str(self._url.database))

    @contextmanager
    def writing(self, *, disposable: bool = False) -> Iterator[sa.Connection]:
        """One transaction, committed at the end of the block, rolled back if it raises.

        It holds the database's write lock from its first moment, so what it reads stays
        true until it commits. On return its rows survive a power cut, unless they are
        `disposable`: then they survive a crash of the process only.
        """
        engine = self._disposable if disposable else self._writer
        with self._turn, as_os_error(), engine.begin() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """One snapshot of what is committed. A long one keeps the WAL from shrinking."""
        with as_os_error(), self._reader.connect() as connection:
            yield connection

    def empty_wal(self) -> None:
        """Copy everything into the database file and cut the write-ahead log to nothing.

        What was erased still stands in the log until then. Raises OSError when a reader
        holds an old snapshot for longer than the busy timeout.
        """
        with self._turn, as_os_error(), self._writer.connect() as connection:
            # Not through SQLAlchemy, which would begin a transaction and so be in the way.
            driver: Any = connection.connection.driver_connection
            try:
                busy, _pages, _copied = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            except sqlite3.Error as error:
                raise OSError(f"the database failed: {error}") from error
        if busy:
            raise OSError("a reader keeps erased rows in the write-ahead log: try again")

    def user_version(self) -> int:
        """The number a file carries for whoever made it; 0 in a new one."""
        with self.reading() as connection:
            version: int = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
        return version

    def vacuum(self, *, user_version: int) -> None:
        """Write the file anew, without anything that is no longer used, then mark it.

        For small databases: it takes as long as copying them.
        """
        with self._turn, as_os_error(), self._writer.connect() as connection:
            driver: Any = connection.connection.driver_connection
            try:
                driver.execute("VACUUM")
                driver.execute(f"PRAGMA user_version = {user_version:d}")
            except sqlite3.Error as error:
                raise OSError(f"the database failed: {error}") from error
        self.empty_wal()

    def close(self) -> None:
        """Close all connections."""
        for engine in (self._reader, self._disposable, self._writer):
            engine.dispose()

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


def insert_rows(
    connection: sa.Connection, statement: sa.Insert, rows: Sequence[tuple[Any, ...]]
) -> None:
    """Run an INSERT of all columns for many rows, as one statement; nothing without rows.

    The values go to the driver as they are, in the order of the columns: what SQLAlchemy does
    for each single value takes longer than the database takes to insert it.
    """
    if rows:
        connection.exec_driver_sql(_compiled(statement), list(rows))


@cache
def _compiled(statement: sa.Insert) -> str:
    # Keyed by the statement's identity: they are constants of their modules.
    return str(statement.compile(dialect=sqlite.dialect(paramstyle="qmark")))


def upsert(table: sa.Table) -> sqlite.Insert:
    """An INSERT that can say ON CONFLICT.

    The one construct here that belongs to a dialect; PostgreSQL's has the same methods.
    """
    return sqlite.insert(table)


def _is_file(database: str | None) -> bool:
    return bool(database) and database != ":memory:" and not str(database).startswith("file:")


@contextmanager
def as_os_error() -> Iterator[None]:
    """Errors of the driver as OSError, broken constraints and wrong SQL left as they are."""
    try:
        yield
    except (IntegrityError, ProgrammingError):
        raise
    except DBAPIError as error:
        # Only the driver's own words: SQLAlchemy's add the rows, which are nobody's business.
        raise OSError(f"the database failed: {error.orig}") from error
