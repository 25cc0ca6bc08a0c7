"""A migrated database in a file, and a log in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.storage.engine import Database
from adapters.storage.events import EventRecorder
from adapters.storage.migrate import migrate


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/hub.db"
    migrate(url)
    return url


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    database = Database(url)
    yield database
    database.close()


@pytest.fixture
def log(database: Database) -> EventRecorder:
    return EventRecorder(database)
