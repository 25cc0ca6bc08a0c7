"""Statements that are constants of their modules, without what SQLAlchemy does around each run.

What it does for a connection, a statement and a row takes several times as long as SQLite takes to
answer. So they are put into SQL once, and go to SQLite's driver as they are. On a server, whose
connections may break, they go the usual way.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

_Statement = sa.Select[Any] | sa.Insert | sa.Update
_Parameters = Mapping[str, Any]
_NONE: _Parameters = {}


class Plain(Protocol):
    """One transaction; raises what `Database.writing` lets its block raise.

    Statements must be constants, for each is kept; rows come as the driver gives them, so they are
    for types that need no conversion.
    """

    def rows(self, statement: sa.Select[Any], parameters: _Parameters = _NONE) -> list[Any]:
        """All rows of an answer, as tuples."""
        ...

    def change(self, statement: sa.Insert | sa.Update, parameters: _Parameters) -> int:
        """Run a statement once; how many rows it changed."""
        ...

    def insert(self, statement: sa.Insert, rows: Sequence[tuple[Any, ...]]) -> None:
        """Run an INSERT of all columns for many rows, in their order; nothing without rows."""
        ...

    def notify(self, channel: str) -> None:
        """Wake those who listen on a server, once this is committed."""
        ...


def scalar(plain: Plain, statement: sa.Select[Any], parameters: _Parameters = _NONE) -> Any:
    """The only value of an answer; None for none."""
    rows = plain.rows(statement, parameters)
    return rows[0][0] if rows else None


class OnSqlite:
    """The port Plain, over the driver of an SQLite file.

    Whoever listens to what `engine` executes and commits hears of this too.
    """

    def __init__(self, engine: sa.Engine, driver: sqlite3.Connection) -> None:
        self.engine = engine
        self._driver = driver

    def rows(self, statement: sa.Select[Any], parameters: _Parameters = _NONE) -> list[Any]:
        """All rows of an answer."""
        return self._run(sqlite3.Cursor.execute, *_bound(statement, parameters))[1]

    def change(self, statement: sa.Insert | sa.Update, parameters: _Parameters) -> int:
        """Run a statement once."""
        return self._run(sqlite3.Cursor.execute, *_bound(statement, parameters))[0]

    def insert(self, statement: sa.Insert, rows: Sequence[tuple[Any, ...]]) -> None:
        """Run an INSERT for many rows."""
        if rows:
            self._run(sqlite3.Cursor.executemany, _in_sqlite(statement)[0], rows)

    def notify(self, channel: str) -> None:
        """Nothing: other processes do not listen to a file."""

    def begin(self, how: str) -> None:
        """Begin a transaction."""
        self._run(sqlite3.Cursor.execute, how, ())

    def commit(self) -> None:
        """Commit it."""
        for hear in self.engine.dispatch.commit:
            hear(self)
        with _as_of_sqlalchemy("COMMIT"):
            self._driver.commit()

    def _run(
        self, run: Callable[..., Any], text: str, values: Sequence[Any]
    ) -> tuple[int, list[Any]]:
        cursor = self._driver.cursor()
        for hear in self.engine.dispatch.before_cursor_execute:
            hear(self, cursor, text, values, None, run is sqlite3.Cursor.executemany)
        with _as_of_sqlalchemy(text):
            run(cursor, text, values)
            return cursor.rowcount, cursor.fetchall()


@contextmanager
def _as_of_sqlalchemy(text: str) -> Iterator[None]:
    """Errors of the driver as `Database` takes them from SQLAlchemy."""
    try:
        yield
    except sqlite3.Error as error:
        raise sa.exc.DBAPIError.instance(text, None, error, sqlite3.Error) from error


class OnServer:
    """The port Plain, over a connection of SQLAlchemy; to SQLite it leads too."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def rows(self, statement: sa.Select[Any], parameters: _Parameters = _NONE) -> list[Any]:
        """All rows of an answer."""
        return list(self._connection.execute(statement, parameters).cursor.fetchall())

    def change(self, statement: sa.Insert | sa.Update, parameters: _Parameters) -> int:
        """Run a statement once."""
        return self._connection.execute(statement, parameters).rowcount

    def insert(self, statement: sa.Insert, rows: Sequence[tuple[Any, ...]]) -> None:
        """Run an INSERT for many rows."""
        if not rows:
            return
        if self._connection.dialect.name == "postgresql":
            # One array a column, and one statement, however many rows: a round trip each would
            # take longer than the insert.
            arrays = tuple(map(list, zip(*rows, strict=True)))
            self._connection.exec_driver_sql(_unnesting(statement), arrays)
        else:
            self._connection.exec_driver_sql(_in_sqlite(statement)[0], list(rows))

    def notify(self, channel: str) -> None:
        """Wake those who listen."""
        self._connection.exec_driver_sql("SELECT pg_notify(%s, '')", (channel,))


def _bound(statement: _Statement, parameters: _Parameters) -> tuple[str, tuple[Any, ...]]:
    """A statement in SQLite's words with its values in their order."""
    text, names, own = _in_sqlite(statement)
    values: list[Any] = []
    for name in names:
        value = parameters[name] if name in parameters else own[name]
        if isinstance(value, list):
            text = text.replace(f"__[POSTCOMPILE_{name}]", ", ".join("?" * len(value)))
            values += value
        else:
            values.append(value)
    return text, tuple(values)


@cache
def _in_sqlite(statement: _Statement) -> tuple[str, Sequence[str], _Parameters]:
    # Keyed by the statement's identity: they are constants of their modules.
    compiled: Any = statement.compile(dialect=sqlite.dialect(paramstyle="qmark"))
    return str(compiled), compiled.positiontup, compiled.params


@cache
def _unnesting(statement: sa.Insert) -> str:
    columns = list(statement.table.columns)
    arrays = [sa.bindparam(each.name, type_=postgresql.ARRAY(each.type)) for each in columns]
    rows = sa.func.unnest(*arrays).table_valued(*(each.name for each in columns)).render_derived()
    inserting = statement.from_select([each.name for each in columns], sa.select(rows))
    # SQLAlchemy leaves the constructors of its dialects untyped.
    dialect = postgresql.psycopg.dialect(paramstyle="format")  # type: ignore[no-untyped-call]
    return str(inserting.compile(dialect=dialect))
