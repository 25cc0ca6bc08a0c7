"""Several hubs on one PostgreSQL that serve at once, each from a folder of its own."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from hub.bootstrap.folder import DataFolder
from tests.support.hubs import Founded, HubProcess, look_into
from tests.support.signers import SignerProcess

# What hubs on several machines mount.
SHARED = ("content", "keys")
WITHIN_S = 60.0


@contextmanager
def signer_apart(founded: Founded) -> Iterator[SignerProcess]:
    """The signer of a hub as a process of its own, which the folder names from now on."""
    beside = founded.folder.root.parent.resolve()
    shutil.move(founded.folder.root / "signer", beside / "signer")
    # The name of a socket has at most 107 bytes (unix(7)); a test's own folder may have more.
    with TemporaryDirectory() as short:
        socket = Path(short) / "socket"
        with founded.folder.settings.open("a") as settings:
            settings.write(f'signer = "unix:{socket}"\n')
        with SignerProcess(beside / "signer", socket) as signer:
            yield signer


def folder_of_another(founded: Founded, name: str) -> Founded:
    """Another hub's folder for the same log: what machines would share, it shares."""
    root = founded.folder.root.parent / name
    shutil.copytree(founded.folder.root, root, ignore=shutil.ignore_patterns("lock"))
    for each in SHARED:
        shutil.rmtree(root / each)
        (root / each).symlink_to((founded.folder.root / each).resolve())
    return Founded(DataFolder(root))


class Several:
    """Hubs that serve together, the first of them begun first."""

    def __init__(self, hubs: list[HubProcess]) -> None:
        self.hubs = hubs

    def __getitem__(self, number: int) -> HubProcess:
        return self.hubs[number]

    @property
    def founded(self) -> Founded:
        """The first one's folder, to look into."""
        return self.hubs[0].founded

    def epoch(self) -> int:
        """How often the lead was taken."""
        with look_into(self.founded.folder.root) as connection:
            epoch: int = connection.exec_driver_sql("SELECT epoch FROM leadership").scalar_one()
        return epoch

    def leader(self) -> HubProcess:
        """The hub whose folder stands in the row."""
        with look_into(self.founded.folder.root) as connection:
            name = connection.exec_driver_sql("SELECT hub FROM leadership").scalar_one()
        return next(hub for hub in self.hubs if hub.founded.folder.holder() == name)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for what is on its way."""
        async with asyncio.timeout(WITHIN_S):
            while not await asyncio.to_thread(holds):  # noqa: ASYNC110 - others' doing.
                await asyncio.sleep(0.05)

    async def until_led_anew(self, since: int) -> None:
        """Wait until another hub leads than that of this epoch."""
        await self.until(lambda: self.epoch() > since)


@asynccontextmanager
async def several(founded: Founded, count: int) -> AsyncIterator[Several]:
    """So many hubs, and their signer."""
    with signer_apart(founded):
        folders = [founded]
        folders += [folder_of_another(founded, f"hub-{n}") for n in range(2, count + 1)]
        hubs = [HubProcess(each, join=True) for each in folders]
        async with AsyncExitStack() as stack:
            for hub in hubs:
                await stack.enter_async_context(hub)
            yield Several(hubs)
