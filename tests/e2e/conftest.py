"""A hub of four agencies, one for each algorithm, and a clock that tests can move."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from adapters.system import system_clock
from hub.bootstrap import core
from hub.bootstrap.folder import DataFolder
from hub.bootstrap.founding import Stores
from tests.support.hubs import Founded, Running, found, serving
from tests.support.postgres import Server


class MovedClock:
    """The machine's clock, and some more."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return system_clock() + self.ahead


@pytest.fixture(scope="session")
def newly_founded(tmp_path_factory: pytest.TempPathFactory) -> Founded:
    """Never served: each test gets a copy of it, which spares making RSA keys each time."""
    return found(tmp_path_factory.mktemp("founded"))


@pytest.fixture(scope="session")
def newly_founded_on_postgres(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: Server
) -> tuple[Founded, str, str]:
    """The same with its events and its document keys in two databases, and their names."""
    events, keys = postgres_server.create(), postgres_server.create()
    stores = Stores(postgres_server.url(events), postgres_server.url(keys))
    return found(tmp_path_factory.mktemp("founded"), stores=stores), events, keys


@pytest.fixture
def database_kind(request: pytest.FixtureRequest) -> str:
    """What `founded` lies on; tests that ask for both say so by `on_both_databases`."""
    chosen: str = getattr(request, "param", os.environ.get("LIENTHONG_TESTS_DATABASE", "sqlite"))
    return chosen


@pytest.fixture
def founded(
    request: pytest.FixtureRequest, database_kind: str, tmp_path: Path
) -> Iterator[Founded]:
    root = tmp_path / "hub"
    if database_kind == "sqlite":
        shutil.copytree(request.getfixturevalue("newly_founded").folder.root, root)
        yield Founded(DataFolder(root))
        return
    founded, *names = request.getfixturevalue("newly_founded_on_postgres")
    shutil.copytree(founded.folder.root, root)
    settings = (root / "hub.toml").read_text()
    server: Server = request.getfixturevalue("postgres_server")
    copies = [server.create(name) for name in names]
    for name, copy in zip(names, copies, strict=True):
        settings = settings.replace(name, copy)
    (root / "hub.toml").write_text(settings)
    yield Founded(DataFolder(root))
    for copy in copies:
        server.drop(copy)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> MovedClock:
    """The clock of every hub that is started in this process afterwards."""
    clock = MovedClock()
    monkeypatch.setattr(core, "system_clock", clock)
    return clock


@pytest.fixture
async def hub(clock: MovedClock, founded: Founded) -> AsyncIterator[Running]:
    async with serving(founded) as hub:
        yield hub
