"""Stores to hold against their contracts."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.storage.engine import Database
from adapters.storage.migrate import migrate


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    url = f"sqlite:///{tmp_path}/hub.db"
    migrate(url)
    database = Database(url)
    yield database
    database.close()
