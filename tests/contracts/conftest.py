"""Stores to hold against their contracts."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.storage.engine import Database
from tests.support.databases import new_database


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Database]:
    database = Database(new_database(tmp_path / "hub.db"))
    yield database
    database.close()


@pytest.fixture
def postgres(postgres_url: str) -> Iterator[Database]:
    database = Database(postgres_url)
    yield database
    database.close()


@pytest.fixture
def database(sqlite: Database) -> Database:
    """For what is not asked of every database."""
    return sqlite


@pytest.fixture
def sqlite_keys(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path}/keys.db")
    yield database
    database.close()


@pytest.fixture
def postgres_keys(empty_postgres_url: str) -> Iterator[Database]:
    database = Database(empty_postgres_url)
    yield database
    database.close()
