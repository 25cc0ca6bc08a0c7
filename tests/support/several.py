"""Several hubs on one PostgreSQL that serve at once, each from a folder of its own."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import (
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    closing,
    contextmanager,
)
from pathlib import Path
from tempfile import TemporaryDirectory

from adapters.storage.engine import Database
from hub.bootstrap.folder import DataFolder
from hub.bootstrap.upgrade import database_url
from hub.config import Settings
from tests.support.hubs import Founded, HubProcess, look_into
from tests.support.patience import PATIENCE_S
from tests.support.ports import free_port
from tests.support.signers import SignerProcess, link_folders

# What hubs on several machines mount.
SHARED = ("content", "keys")

Apart = Callable[[Founded], AbstractContextManager[SignerProcess]]


@contextmanager
def signer_apart(founded: Founded) -> Iterator[SignerProcess]:
    """The signer of a hub as a process of its own, which the folder names from now on."""
    beside = founded.folder.root.parent.resolve()
    shutil.move(founded.folder.root / "signer", beside / "signer")
    # The name of a socket has at most 107 bytes (unix(7)); a test's own folder may have more.
    with TemporaryDirectory() as short:
        path = Path(short) / "socket"
        with founded.folder.settings.open("a") as settings:
            settings.write(f'signer = "unix:{path}"\nsigner_timeout_s = 60\n')
        with SignerProcess(beside / "signer", path) as signer:
            yield signer


@contextmanager
def signer_on_another_machine(founded: Founded) -> Iterator[SignerProcess]:
    """The same, asked by TLS, as if it had a machine to itself."""
    beside = founded.folder.root.parent.resolve()
    shutil.move(founded.folder.root / "signer", beside / "signer")
    link_folders(founded.folder.root, beside / "signer")
    address = f"127.0.0.1:{free_port()}"
    with founded.folder.settings.open("a") as settings:
        settings.write(f'signer = "tls://{address}"\nsigner_timeout_s = 60\n')
    with SignerProcess(beside / "signer", listen=address) as signer:
        yield signer


def folder_of_another(founded: Founded, name: str) -> Founded:
    """Another hub's folder for the same log: what machines would share, it shares."""
    root = founded.folder.root.parent / name
    shutil.copytree(founded.folder.root, root, ignore=shutil.ignore_patterns("lock"))
    for each in SHARED:
        shutil.rmtree(root / each)
        (root / each).symlink_to((founded.folder.root / each).resolve())
    another = Founded(DataFolder(root))
    if another.folder.signer_link.exists():
        shutil.rmtree(another.folder.signer_link)
        link_folders(root, founded.folder.root.parent / "signer")
    return another


class Several:
    """Hubs that serve together, the first of them begun first."""

    def __init__(self, hubs: list[HubProcess], signer: SignerProcess) -> None:
        self.hubs = hubs
        self.signer = signer

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
        async with asyncio.timeout(PATIENCE_S):
            while not await asyncio.to_thread(holds):  # noqa: ASYNC110 - others' doing.
                await asyncio.sleep(0.05)

    async def lease_runs_out(self) -> None:
        """The hub that led gives no sign any more, and the others have waited long enough."""
        await asyncio.to_thread(self._lease_runs_out, self.epoch())

    def _lease_runs_out(self, epoch: int) -> None:
        folder = self.founded.folder
        url = database_url(folder, Settings.load(folder.root))
        with closing(Database(url)) as database, database.writing_unfenced() as connection:
            # Of the hub that follows it, nothing has run out.
            connection.exec_driver_sql(
                "UPDATE leadership SET beat_at = beat_at - interval '1 day' WHERE epoch = %s",
                (epoch,),
            )

    async def until_led_anew(self, since: int) -> None:
        """The hub that led in this epoch gives no sign any more: wait until another one leads."""

        def led_anew() -> bool:
            if anew := self.epoch() > since:
                return anew
            self._lease_runs_out(since)
            return False

        await self.until(led_anew)


@asynccontextmanager
async def several(
    founded: Founded, count: int, apart: Apart = signer_apart
) -> AsyncIterator[Several]:
    """So many hubs, and their signer."""
    with apart(founded) as signer:
        folders = [founded]
        folders += [folder_of_another(founded, f"hub-{n}") for n in range(2, count + 1)]
        hubs = [HubProcess(each, join=True) for each in folders]
        async with AsyncExitStack() as stack:
            for hub in hubs:
                await stack.enter_async_context(hub)
            yield Several(hubs, signer)
