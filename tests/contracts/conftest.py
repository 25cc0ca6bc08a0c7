"""Stores to hold against their contracts."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.memory.determinism import CountedRandomness
from adapters.storage.engine import Database
from adapters.storage.object_content import ObjectContentStore
from tests.support.databases import new_database
from tests.support.s3 import S3


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


@pytest.fixture
def bucket_content(s3: S3) -> Iterator[ObjectContentStore]:
    """Content in a bucket of its own, below a prefix."""
    with s3.opened(s3.new_bucket(), prefix="a/hub/") as bucket:
        yield ObjectContentStore(bucket, CountedRandomness())
