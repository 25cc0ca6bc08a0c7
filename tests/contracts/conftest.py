"""Stores to hold against their contracts."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.storage.engine import Database
from tests.support.databases import new_database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(new_database(tmp_path / "hub.db"))
    yield database
    database.close()
