"""A hub of four agencies, one for each algorithm, and a clock that tests can move."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from adapters.system import system_clock
from hub.bootstrap import assembly
from hub.bootstrap.folder import DataFolder
from tests.support.hubs import Founded, Running, found, serving


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


@pytest.fixture
def founded(newly_founded: Founded, tmp_path: Path) -> Founded:
    root = tmp_path / "hub"
    shutil.copytree(newly_founded.folder.root, root)
    return Founded(DataFolder(root))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> MovedClock:
    """The clock of every hub that is started in this process afterwards."""
    clock = MovedClock()
    monkeypatch.setattr(assembly, "system_clock", clock)
    return clock


@pytest.fixture
async def hub(clock: MovedClock, founded: Founded) -> AsyncIterator[Running]:
    async with serving(founded) as hub:
        yield hub
