"""How the hub opens a database: few connections that write, several that only read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from enum import IntEnum
from pathlib import Path
from typing import Any, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import (
    DBAPIError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from adapters.storage.plain import OnServer, Plain
from adapters.storage.postgres import PostgresServer
from adapters.storage.sqlite import BUSY_TIMEOUT_MS, WRITER_CACHE_KIB, SqliteFile

T = TypeVar("T")

# Keys asked for in one statement; a database bounds the number of its parameters.
_KEYS_MAX = 400


class Area(IntEnum):
    """What is written under one lock. Writers of different areas do not wait for each other.

    On SQLite all writers wait for each other.
    """

    LOG = 1
    TREE = 2
    VIEWS = 3
    KEYS = 4


# What hubs tell each other: events were appended; a checkpoint was stored, or the lists follow it.
APPENDED, PUBLISHED = "lienthong_head", "lienthong_checkpoint"


# The epoch of a hub that does not lead: never the newest.
FOLLOWING = -1


class DatabaseAway(OSError):
    """The server cannot be reached, or broke off: the same again may well succeed."""


class Deposed(DatabaseAway):
    """Another hub leads now: nothing was written, and nothing will be."""


class ShutOut(DatabaseAway):
    """A hub has the database for itself now: nothing was written."""


class Backend(Protocol):
    """What a kind of database does in its own way. `adapters.storage.sqlite` and `.postgres`."""

    reader: sa.Engine
    single: sa.Engine

    @property
    def writer(self) -> sa.Engine:
        """For commits that survive a power cut; asked for within a `turn`."""

    @property
    def disposable(self) -> sa.Engine:
        """For commits that survive a crash of the process; asked for within a `turn`."""

    def read_only(self) -> sa.Engine:
        """Connections that leave no trace of having read."""

    def turn(self) -> AbstractContextManager[None]:
        """Let the writers of this process in one by one, where the database cannot."""

    def lock(self, connection: sa.Connection, area: int) -> None:
        """Keep other writers of this area out until the transaction ends."""

    def look(self, connection: sa.Connection) -> None:
        """Fix the moment that a reading transaction sees."""

    def forget(self, tables: Sequence[sa.Table]) -> None:
        """Remove what is left of rows that were deleted or overwritten, as far as it goes."""

    def vacuum(self, user_version: int) -> None:
        """Write everything anew, then mark it."""

    def close(self) -> None:
        """Close all connections."""


class Database:
    """A database, used by any number of threads.

    Readers see the last committed state and never wait; writers take turns. Errors of the
    database other than broken constraints leave here as OSError, so that nobody above has
    to know which database it is; DatabaseAway is one of them.
    """

    read_only = False

    def __init__(
        self,
        url: str,
        *,
        busy_timeout_ms: int = BUSY_TIMEOUT_MS,
        writer_cache_kib: int = WRITER_CACHE_KIB,
    ) -> None:
        """`url` is `sqlite:///relative/path`, `sqlite:////absolute/path` or `postgresql://…`.

        `writer_cache_kib` is how much memory an SQLite file's writer fills with pages as it goes.
        Nothing is connected yet. Raises ValueError for another database, one in memory
        included: it would be a different one for each connection.
        """
        parsed = sa.make_url(url)
        self._backend: Backend = (
            PostgresServer(parsed, busy_timeout_ms)
            if is_postgres(url)
            else SqliteFile(parsed, busy_timeout_ms, writer_cache_kib)
        )
        self._reader = self._backend.reader
        self._file = self._backend if isinstance(self._backend, SqliteFile) else None
        self._epoch: int | None = None
        self._together = False

    @property
    def is_server(self) -> bool:
        """Whether the database is on a server, and no file of ours."""
        return not isinstance(self._backend, SqliteFile)

    @property
    def path(self) -> Path:
        """The file of an SQLite database. Raises ValueError for another."""
        if not isinstance(self._backend, SqliteFile):
            raise ValueError("a database on a server is no file")
        return self._backend.path

    @contextmanager
    def writing(
        self, area: Area = Area.LOG, *, disposable: bool = False, by_any: bool = False
    ) -> Iterator[sa.Connection]:
        """One transaction, committed at the end of the block, rolled back if it raises.

        It holds the write lock of its area from its first moment, so what it reads there
        stays true until it commits. On return its rows survive a power cut, unless they are
        `disposable`: then they survive a crash of the process only. Of several hubs that serve
        together only the leader writes, but for what is written `by_any` of them.
        """
        backend = self._backend
        with backend.turn(), as_os_error():
            engine = backend.disposable if disposable else backend.writer
            with engine.begin() as connection:
                backend.lock(connection, area)
                if by_any and self._together and self._epoch == FOLLOWING:
                    _require_company(connection)
                elif self._epoch is not None:
                    _require_epoch(connection, self._epoch)
                yield connection

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """One snapshot of what is committed. A long one keeps old rows from being removed."""
        with as_os_error(), self._reader.connect() as connection:
            yield connection

    @contextmanager
    def changing(
        self, area: Area = Area.LOG, *, disposable: bool = False, by_any: bool = False
    ) -> Iterator[Plain]:
        """As `writing`, for statements that are constants of their modules."""
        if self._file is None:
            with self.writing(area, disposable=disposable, by_any=by_any) as connection:
                yield OnServer(connection)
        else:
            with as_os_error(), self._file.plain_writing(disposable=disposable) as plain:
                yield plain

    @contextmanager
    def asking(self) -> Iterator[Plain]:
        """As `reading`, for statements that are constants of their modules."""
        if self._file is None:
            with self.reading() as connection:
                yield OnServer(connection)
        else:
            with as_os_error(), self._file.plain_reading() as plain:
                yield plain

    @contextmanager
    def writing_unfenced(self) -> Iterator[sa.Connection]:
        """A transaction for the question who writes; it takes no lock."""
        with as_os_error(), self._backend.writer.begin() as connection:
            yield connection

    @contextmanager
    def glancing(self) -> Iterator[sa.Connection]:
        """A connection for statements that each see what is committed then; for reading."""
        with as_os_error(), self._backend.single.connect() as connection:
            yield connection

    def fence(self, epoch: int, *, together: bool = False) -> None:
        """From now on, write only while this is the newest epoch of `leadership`.

        With `FOLLOWING`, write only what any hub may, while hubs serve `together`.
        """
        self._epoch, self._together = epoch, together

    def tell(self, plain: Plain, channel: str) -> None:
        """Wake the other hubs that listen, once this transaction is committed."""
        if self._together:
            plain.notify(channel)

    @property
    def epoch(self) -> int:
        """Under which it writes; 0 where nobody else can."""
        return self._epoch or 0

    def forget(self, *tables: sa.Table) -> None:
        """Remove what is left of rows that were deleted or overwritten in these tables.

        On SQLite that is all there is: the write-ahead log is emptied. On PostgreSQL some is
        left, see docs/decisions/0032. Raises OSError when a reader holds an old snapshot for
        longer than the busy timeout, or when the database fails.
        """
        with as_os_error():
            self._backend.forget(tables)

    def user_version(self) -> int:
        """The number an SQLite file carries for whoever made it; 0 in a new one."""
        with self.reading() as connection:
            version: int = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
        return version

    def vacuum(self, *, user_version: int) -> None:
        """Write an SQLite file anew, without anything that is no longer used, then mark it.

        For small databases: it takes as long as copying them.
        """
        with as_os_error():
            self._backend.vacuum(user_version)

    def close(self) -> None:
        """Close all connections."""
        self._reader.pool.dispose()
        self._backend.close()


def _require_epoch(connection: sa.Connection, epoch: int) -> None:
    # Held until the end: a hub that takes over waits for this transaction. The sign that the
    # leader gives does not wait for it, since it changes no key.
    held = "SELECT 1 FROM leadership WHERE epoch = %s FOR KEY SHARE"
    if connection.exec_driver_sql(held, (epoch,)).scalar() is None:
        raise Deposed("another hub leads on this database now")


def _require_company(connection: sa.Connection) -> None:
    # Held until the end, as by the leader: whoever wants to be alone waits for it.
    held = "SELECT 1 FROM leadership WHERE NOT alone FOR KEY SHARE"
    if connection.exec_driver_sql(held).scalar() is None:
        raise ShutOut("another hub has the database for itself now")


def is_postgres(url: str) -> bool:
    """Whether this is the URL of a PostgreSQL database."""
    return sa.make_url(url).get_backend_name() == "postgresql"


def stream(
    connection: sa.Connection, statement: sa.Select[Any], at_once: int = 1000
) -> Iterator[Any]:
    """The rows of a long answer, so many of them in memory. Whoever stops early leaves nothing."""
    with connection.execute(statement, execution_options={"yield_per": at_once}) as rows:
        yield from rows


def portions(keys: Sequence[T]) -> Iterator[Sequence[T]]:
    """Keys to ask for, in as many as fit into one statement."""
    for start in range(0, len(keys), _KEYS_MAX):
        yield keys[start : start + _KEYS_MAX]


def upsert(table: sa.Table) -> postgresql.Insert:
    """An INSERT that can say ON CONFLICT, in words that SQLite has taken over."""
    return postgresql.insert(table)


class as_many_spaces(FunctionElement[str]):
    """Spaces for each byte of a text: the row keeps its size, so SQLite overwrites it in place."""

    inherit_cache = True
    type = sa.String()


class as_many_zeros(FunctionElement[bytes]):
    """Zeros for each byte of some bytes."""

    inherit_cache = True
    type = sa.LargeBinary()


@compiles(as_many_spaces, "sqlite")
def _spaces_in_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    size = f"length(CAST({compiler.process(element.clauses, **kw)} AS BLOB))"
    return f"replace(hex(zeroblob({size})), '00', ' ')"


@compiles(as_many_spaces, "postgresql")
def _spaces_in_postgres(element: Any, compiler: Any, **kw: Any) -> str:
    return f"repeat(' ', octet_length({compiler.process(element.clauses, **kw)}))"


@compiles(as_many_zeros, "sqlite")
def _zeros_in_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    return f"zeroblob(length({compiler.process(element.clauses, **kw)}))"


@compiles(as_many_zeros, "postgresql")
def _zeros_in_postgres(element: Any, compiler: Any, **kw: Any) -> str:
    size = f"length({compiler.process(element.clauses, **kw)})"
    return f"decode(repeat('00', {size}), 'hex')"


@contextmanager
def as_os_error() -> Iterator[None]:
    """Errors of the driver as OSError, broken constraints and wrong SQL left as they are."""
    try:
        yield
    except (IntegrityError, ProgrammingError):
        raise
    except DBAPIError as error:
        # Only the driver's own words: SQLAlchemy's add the rows, which are nobody's business.
        message = f"the database failed: {error.orig}"
        if isinstance(error, OperationalError | InterfaceError) and _is_of_a_server(error):
            raise DatabaseAway(message) from error
        raise OSError(message) from error


def _is_of_a_server(error: DBAPIError) -> bool:
    return type(error.orig).__module__.startswith("psycopg")
