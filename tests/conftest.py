"""What holds for every test, and what every test may ask for: a real PostgreSQL, once for all."""

import os
from collections.abc import Iterator

import pytest

from adapters.storage.migrate import migrate
from tests.support import postgres
from tests.support.s3 import S3, s3_server

# An examination in the background would add its fact at any time: tests of it ask for it. In the
# environment, for the hubs that are processes of their own too.
os.environ.setdefault("LIENTHONG_DOCUMENT_SIGNATURES", "off")
# Everything that tests talk to is on this machine, and never behind somebody's proxy.
for name in ("no_proxy", "NO_PROXY"):
    os.environ[name] = "127.0.0.1,localhost"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest first: so no worker is left alone with it at the end."""
    items.sort(key=lambda item: item.get_closest_marker("early") is None)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Server]:
    """A server, started when the first test asks for it. Skips where there is none."""
    try:
        with postgres.serving() as server:
            yield server
    except postgres.Unavailable as reason:
        if os.environ.get(postgres.REQUIRED):
            raise
        pytest.skip(f"{reason}; run `make venv`, or install Debian's postgresql")


@pytest.fixture(scope="session")
def migrated_database(postgres_server: postgres.Server) -> str:
    """The name of a database with the schema."""
    name = postgres_server.create()
    migrate(postgres_server.url(name))
    return name


@pytest.fixture
def postgres_url(postgres_server: postgres.Server, migrated_database: str) -> str:
    """A database as the migrations leave a new one."""
    postgres_server.clear(migrated_database)
    return postgres_server.url(migrated_database)


@pytest.fixture
def empty_postgres_url(postgres_server: postgres.Server) -> Iterator[str]:
    """A new database with nothing in it."""
    name = postgres_server.create()
    yield postgres_server.url(name)
    postgres_server.drop(name)


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    """An object store, started when the first test asks for it."""
    with s3_server() as server:
        yield server
