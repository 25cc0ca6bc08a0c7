"""A PostgreSQL database as the hub uses it: synced commits, and writers that take turns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NoReturn

import sqlalchemy as sa
from sqlalchemy import event

CONNECT_TIMEOUT_S = 10
# A statement that takes longer has been forgotten by whoever asked. Walks through whole tables
# are read in pages, each of which is a statement.
STATEMENT_TIMEOUT_MS = 600_000
# A writer that was stopped in the middle of a transaction would keep everybody waiting.
IDLE_IN_TRANSACTION_MS = 10_000
# Connections that stay open when nobody asks; a writer's wait for each other anyhow.
WRITERS, READERS = 2, 8
# How soon a connection that a firewall or a dead machine swallowed is given up, in seconds.
_KEEPALIVES = {"keepalives": 1, "keepalives_idle": 10, "keepalives_interval": 5}
_TCP_TIMEOUT_MS = 30_000
# Says whose advisory locks these are: the other half of the key is an area of `engine`.
_LOCKS = 0x4C54

_Settings = dict[str, str]
_EVERY_CONNECTION: _Settings = {
    "statement_timeout": f"{STATEMENT_TIMEOUT_MS}ms",
    # How soon the server lets go of what a client held whose machine is gone, in seconds.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
_WRITER: _Settings = {"idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_MS}ms"}
# Acknowledged before it is synced: the newest commits may be lost, but none is ever torn.
_DISPOSABLE_WRITER: _Settings = _WRITER | {"synchronous_commit": "off"}


class PostgresServer:
    """The port Backend of `engine`, on a server."""

    def __init__(self, url: sa.URL, busy_timeout_ms: int) -> None:
        """Raises ValueError for the URL of another driver than psycopg."""
        if url.drivername not in {"postgresql", "postgresql+psycopg"} or not url.database:
            raise ValueError(f"not the URL of a PostgreSQL database: {url!r}")
        self._url = url.set(drivername="postgresql+psycopg")
        self._closed = False
        self._lock_timeout = {"lock_timeout": f"{busy_timeout_ms}ms"}
        self.writer = self._engine(_WRITER, kept=WRITERS)
        self.disposable = self._engine(_DISPOSABLE_WRITER, kept=1)
        self.reader = self._engine({}, kept=READERS, read_only=True)
        self.single = self._engine({}, kept=2, isolation_level="AUTOCOMMIT")

    def read_only(self) -> sa.Engine:
        """The reader: its connections can do nothing else."""
        return self.reader

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Nothing: the server lets writers of all processes wait in one queue."""
        yield

    def lock(self, connection: sa.Connection, area: int) -> None:
        """Wait until no other transaction writes in this area; held until the end of this one.

        Its own statement, before any other: what those see was committed before.
        """
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s, %s)", (_LOCKS, area))

    def look(self, connection: sa.Connection) -> None:
        """Fix what the transaction sees: a snapshot is taken by the first statement."""
        connection.exec_driver_sql("SELECT 1").scalar_one()

    def forget(self, tables: Sequence[sa.Table]) -> None:
        """Give the room of dead rows free, so that others come to stand in it.

        Not all is gone by that: docs/decisions/0032 says what is left, and where.
        """
        with self.writer.connect() as connection:
            alone = connection.execution_options(isolation_level="AUTOCOMMIT")
            for table in tables:
                alone.exec_driver_sql(f"VACUUM {table.name}")

    def close(self) -> None:
        """Close all connections, and those that are in use once they are put back."""
        self._closed = True
        for engine in (self.reader, self.single, self.disposable, self.writer):
            engine.dispose()

    def vacuum(self, user_version: int) -> NoReturn:
        """There is no older form of anything here."""
        raise NotImplementedError

    def _engine(
        self, settings: _Settings, *, kept: int, read_only: bool = False, **options: Any
    ) -> sa.Engine:
        engine = sa.create_engine(
            self._url,
            **options,
            pool_size=kept,
            max_overflow=-1,  # A pool that makes readers wait can be brought to a deadlock.
            connect_args={
                "connect_timeout": CONNECT_TIMEOUT_S,
                "tcp_user_timeout": _TCP_TIMEOUT_MS,
                **_KEEPALIVES,
            },
        )
        settings = _EVERY_CONNECTION | self._lock_timeout | settings
        event.listen(engine, "connect", partial(_set_up, settings=settings, read_only=read_only))
        event.listen(engine, "checkin", self._put_back)
        return engine

    def _put_back(self, connection: Any, _record: object) -> None:
        # Of a thread that was still asking when the pool was put away.
        if self._closed and connection is not None:
            connection.close()


def _set_up(connection: Any, _record: object, *, settings: _Settings, read_only: bool) -> None:
    # Not by the `options` of the connection, which connection poolers refuse.
    with connection.cursor() as cursor:
        for name, value in settings.items():
            cursor.execute("SELECT set_config(%s, %s, false)", (name, value))
        if "synchronous_commit" not in settings:
            # A receipt promises durability, whatever the server's default is.
            cursor.execute(
                "SELECT set_config('synchronous_commit', 'on', false)"
                " WHERE current_setting('synchronous_commit') = 'off'"
            )
    connection.commit()
    if read_only:
        # One snapshot a transaction, and nothing written: as readers of SQLite have it.
        from psycopg import IsolationLevel  # noqa: PLC0415 - loaded only where it is configured.

        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True
