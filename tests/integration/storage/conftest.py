"""A migrated database in a file, and a log in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.storage.engine import Database
from adapters.storage.events import EventRecorder
from tests.support.databases import new_database


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return new_database(tmp_path / "hub.db")


@pytest.fixture
def url(sqlite_url: str) -> str:
    """Where only an SQLite file is meant; tests of both ask for `each_url`."""
    return sqlite_url


@pytest.fixture(params=["sqlite_url", "postgres_url"])
def each_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(request.param)
    return url


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    database = Database(url)
    yield database
    database.close()


@pytest.fixture
def log(database: Database) -> EventRecorder:
    return EventRecorder(database)
