"""Brings a database's schema up to date; needs no file but what is installed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from adapters.storage.engine import Database
from adapters.storage.folders import sync_folder

_SCRIPTS = "adapters.storage:migrations"


def migrate(url: str) -> None:
    """Create the database, or bring it to the newest schema; nothing when it is there.

    All steps are one transaction. Several processes may call it at once: they take turns.
    Raises OSError when the database cannot be opened or written.
    """
    database = Database(url)
    try:
        with database.writing() as connection:
            command.upgrade(alembic_config(connection), "head")
        # SQLite syncs the file itself, not the name a new one is found by.
        sync_folder(database.path.absolute().parent)
    finally:
        database.close()


def schema_is_current(url: str) -> bool:
    """Whether the database exists and needs no migration. Changes nothing."""
    database = Database(url)
    # SQLite would make an empty file a database.
    if not database.path.exists() or database.path.stat().st_size == 0:
        return False
    try:
        return is_current(database)
    finally:
        database.close()


def is_current(database: Database) -> bool:
    """Whether an open database needs no migration. Changes nothing."""
    with database.reading() as connection:
        current = MigrationContext.configure(connection).get_current_heads()
    return set(current) == set(ScriptDirectory.from_config(alembic_config()).get_heads())


def alembic_config(connection: sa.Connection | None = None) -> Config:
    """What Alembic's commands ask for; those that look at a database need the connection."""
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", _SCRIPTS)
    config.set_main_option("path_separator", "os")
    return config
