"""Brings a database's schema up to date; needs no file but what is installed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from functools import cache
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.dialects import sqlite

from adapters.storage import schema
from adapters.storage.engine import Database
from adapters.storage.folders import sync_folder

_SCRIPTS = "adapters.storage:migrations"


def migrate(url: str) -> None:
    """Create the database, or bring it to the newest schema; nothing when it is there.

    All steps are one transaction. Several processes may call it at once: they take turns.
    Raises OSError when the database cannot be opened or written.
    """
    with closing(Database(url)) as database:
        with database.writing() as connection:
            _require_utf8(connection)
            command.upgrade(alembic_config(connection), "head")
        # SQLite syncs the file itself, not the name a new one is found by.
        if not database.is_server:
            sync_folder(database.path.absolute().parent)


def create_views(url: str) -> None:
    """Create a database with empty views and nothing else, for a rebuild that is thrown away.

    The views are those of the newest schema; Alembic, which needs some time for it, is left out.
    """
    database = Database(url)
    try:
        with database.writing(disposable=True) as connection:
            for statement in _statements_for_views():
                connection.exec_driver_sql(statement)
            connection.execute(schema.view_state.insert().values(id=1, position=0))
    finally:
        database.close()


@cache
def _statements_for_views() -> Sequence[str]:
    made: list[str] = []

    def keep(statement: sa.schema.ExecutableDDLElement, *_: Any, **_more: Any) -> None:
        made.append(str(statement.compile(dialect=sqlite.dialect())))

    recorder = sa.create_mock_engine("sqlite://", keep)
    schema.metadata.create_all(recorder, tables=schema.view_tables(), checkfirst=False)
    return made


def schema_is_current(url: str) -> bool:
    """Whether the database exists and needs no migration. Changes nothing."""
    with closing(Database(url)) as database:
        return not _is_missing_file(database) and is_current(database)


def is_missing(url: str) -> bool:
    """Whether there is no database, or an empty one. Changes nothing.

    Raises OSError when a server cannot be asked, or has no database of this name.
    """
    with closing(Database(url)) as database:
        return _is_missing_file(database) or (database.is_server and not _revisions(database))


def is_current(database: Database) -> bool:
    """Whether an open database needs no migration. Changes nothing."""
    return _revisions(database) == _newest()


def _is_missing_file(database: Database) -> bool:
    # SQLite would make a new file, and an empty one, a database.
    return not database.is_server and (
        not database.path.exists() or database.path.stat().st_size == 0
    )


def _revisions(database: Database) -> set[str]:
    with database.reading() as connection:
        return set(MigrationContext.configure(connection).get_current_heads())


@cache
def _newest() -> frozenset[str]:
    # Reading all the migrations for it takes longer than opening the database.
    return frozenset(ScriptDirectory.from_config(alembic_config()).get_heads())


def _require_utf8(connection: sa.Connection) -> None:
    """Refuse a server's database that could not keep every name there is. Raises OSError."""
    if connection.dialect.name == "postgresql":
        encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
        if encoding != "UTF8":
            raise OSError(
                f"the database is encoded in {encoding}; make one with "
                "`CREATE DATABASE … TEMPLATE template0 ENCODING 'UTF8'`"
            )


def alembic_config(connection: sa.Connection | None = None) -> Config:
    """What Alembic's commands ask for; those that look at a database need the connection."""
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", _SCRIPTS)
    config.set_main_option("path_separator", "os")
    return config
