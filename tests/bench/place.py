"""Where a run happens: hubs founded for it, grown for it, served in processes of their own."""

from __future__ import annotations

import asyncio
import shutil
import sys
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import sqlalchemy as sa

from adapters.storage import schema
from adapters.system import system_clock
from hub.application.agencies import RegisterAgency
from hub.bootstrap.core import Core, open_core
from hub.bootstrap.folder import DataFolder
from hub.bootstrap.founding import SAMPLE_AGENCIES, Stores
from hub.bootstrap.reading import open_log
from hub.client.profile import ClientProfile
from hub.config import Settings
from tests.bench.bulk import fill, store_answers
from tests.bench.history import History
from tests.bench.machine import processor_s
from tests.support.auditors import Auditor, enrol_auditor
from tests.support.hubs import ROOT, Founded, HubProcess, Speaker, found
from tests.support.postgres import Server

# One sender signs with ECDSA, which smart cards do; one recipient with Ed25519.
SENDER, RECIPIENT = (sample.code for sample in SAMPLE_AGENCIES[:2])
# With the recipient above, as many agencies as the city has.
OTHERS = tuple(f"H99.{number}" for number in range(1, 222))
_START_DEADLINE_S = 60.0


@dataclass(frozen=True)
class Scale:
    """How much is done. The default run takes some minutes; a smoke run, seconds."""

    sizes: tuple[int, ...] = (10_000, 100_000)  # Events in the logs that are read.
    rounds: int = 7
    rounds_of_reading: int = 3
    seconds: float = 60.0  # After which no part begins another round.
    documents: int = 1024  # Accepted in one round of each way to send them.
    echoes: int = 2048
    syncs: int = 128
    commits: int = 32  # Of 128 events each.
    lone: int = 32
    waits: int = 100  # Of an agency beside a busy one.
    # Messages of 32 that a busy agency has waiting: its queue of 512, a batch of 256, and more.
    busy: int = 32
    pages: int = 16
    receipts_of: int = 20  # One receipt file for so many events.
    attachment_bytes: int = 64 << 20
    recipients: int = 222
    items: int = 0  # In the larger inbox, where it is written straight; else what the logs give.
    answers: int = 80_000  # Of OCSP responders beside them, as a city keeps in a year.
    on_server: bool = False  # Whether these inboxes lie on a PostgreSQL.


SMOKE = Scale(
    sizes=(60, 120),
    rounds=1,
    rounds_of_reading=1,
    documents=64,
    echoes=64,
    syncs=4,
    commits=2,
    lone=4,
    waits=4,
    busy=2,
    pages=2,
    receipts_of=10,
    attachment_bytes=1 << 20,
    recipients=3,
)


class Place:
    """A folder for one run. Hubs made in it differ from others in three settings.

    The limit on what one agency may send in a second is lifted, for one sends it all here. And
    they listen on free ports. What documents sign for themselves is not examined: their files
    here are no PDFs, whatever they are called.
    """

    def __init__(self, folder: Path, scale: Scale) -> None:
        self.folder = folder
        self.scale = scale
        self._origin = found(folder / "origin", samples=SAMPLE_AGENCIES[:2])
        _set_for_bench(self._origin)
        self._running = AsyncExitStack()
        self._served: tuple[Founded, int] | None = None
        self._process: HubProcess | None = None
        self._bare: int | None = None
        self._auditor: Auditor | None = None
        self._grown: list[Founded] = []
        self.grown_per_s: list[float] = []

    async def __aenter__(self) -> Self:
        await self._prepare()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._running.aclose()

    async def _prepare(self) -> None:
        """Register the other agencies, enrol an auditor."""
        with self.core(self._origin) as core:
            core.engine.load()
            for outcome in core.engine.process(
                [
                    RegisterAgency("operator", str(uuid.uuid4()), code, f"Cơ quan {code}")
                    for code in OTHERS[: self.scale.recipients - 1]
                ]
            ):
                if isinstance(outcome, Exception):
                    raise outcome
        async with HubProcess(self._origin) as hub:
            self._auditor = await enrol_auditor(self._origin, hub.port)

    def new_hub(self, name: str, of: Founded | None = None) -> Founded:
        """A copy of the founded hub, or of another that is not being served."""
        target = self.folder / name / "hub"
        shutil.copytree((of or self._origin).folder.root, target)
        return Founded(DataFolder(target))

    def new_hub_on(self, server: Server, name: str) -> Founded:
        """A hub of its own, with events and document keys in two databases of a server."""
        urls = [server.url(server.create()) for _ in range(2)]
        hub = found(self.folder / name, samples=SAMPLE_AGENCIES[:2], stores=Stores(*urls))
        _set_for_bench(hub)
        return hub

    def core(self, founded: Founded) -> AbstractContextManager[Core]:
        """A hub's core, opened alone."""
        return open_core(founded.folder, Settings.load(founded.folder.root))

    def grow(self, founded: Founded, size: int) -> None:
        """Let a hub live until its log has `size` events."""
        with self.core(founded) as core:
            core.engine.load()
            speakers = founded.speakers
            History(core, speakers[SENDER], speakers[RECIPIENT], system_clock).grow(size)
            empty_logs(core)

    def grown(self) -> list[Founded]:
        """A hub for each size, made once; a larger one goes on where the one before ended."""
        for size in sorted(self.scale.sizes)[len(self._grown) :]:
            hub = self.new_hub(f"read-{size}", self._grown[-1] if self._grown else None)
            before, begun = self.events(hub), time.perf_counter()
            self.grow(hub, size)
            self.grown_per_s.append((size - before) / (time.perf_counter() - begun))
            self._grown.append(hub)
        return self._grown

    def filled(self, documents: int, server: Server | None = None) -> Founded:
        """A hub with an inbox of so many documents, most of them written by `bulk`."""
        hub = self.new_hub_on(server, f"filled-{documents}") if server else None
        hub = hub or self.new_hub(f"filled-{documents}")
        with self.core(hub) as core:
            core.engine.load()
            store_answers(core, self.scale.answers if documents == self.scale.items else 0)
            history = History(core, *sender_and_recipient(hub), system_clock)
            history.grow(core.log.head().next_position + 1)
            fill(core, documents - 1)
            core.database.forget(*schema.view_tables())
            if server:
                # As the server does by itself where rows come one by one.
                name = sa.make_url(core.settings.database_url).database
                server.execute("ANALYZE", database=str(name))
        return hub

    def events(self, founded: Founded) -> int:
        """How many events a hub's log has."""
        settings = Settings.load(founded.folder.root)
        with open_log(founded.folder, settings) as (log, _):
            return log.head().next_position

    def auditor(self, founded: Founded, port: int) -> ClientProfile:
        """The auditor's profile for one hub, with a memory of its own."""
        assert self._auditor is not None
        home = founded.folder.root.parent / "auditor"
        if not home.exists():
            shutil.copytree(self._auditor.home, home)
        return Auditor(self._auditor.name, home).profile(port)

    async def served(self) -> tuple[Founded, int]:
        """A hub that is being served, one for all parts; its port."""
        if self._served is None:
            hub = self.new_hub("served")
            self._process = await self._running.enter_async_context(HubProcess(hub))
            self._served = hub, self._process.port
        return self._served

    def processor_s(self) -> float:
        """How much processor time the hub that is being served has used so far."""
        assert self._process is not None
        return processor_s(self._process.pid)

    async def bare(self) -> int:
        """The bare server as a process, one for all parts; its port."""
        if self._bare is None:
            self._bare = await self._running.enter_async_context(self._bare_server())
        return self._bare

    @asynccontextmanager
    async def _bare_server(self) -> AsyncIterator[int]:
        port_file = self.folder / "bare-port"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.bench.bare", self._origin.folder.root, port_file),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(_START_DEADLINE_S):
                while not port_file.exists():
                    if process.returncode is not None:
                        raise RuntimeError("the bare server did not start")
                    await asyncio.sleep(0.02)
            yield int(port_file.read_text())
        finally:
            process.kill()
            await process.wait()


def _set_for_bench(hub: Founded) -> None:
    with hub.folder.settings.open("a") as file:
        file.write("rate_per_agency = 1000000.0\nburst_per_agency = 1000000\n")
        file.write('document_signatures = "off"\n')


def empty_logs(core: Core) -> None:
    """Bring what was written from the write-ahead log into the database, as time would."""
    core.log._database.forget()


def sender_and_recipient(founded: Founded) -> tuple[Speaker, Speaker]:
    """The two agencies that can speak."""
    return founded.speakers[SENDER], founded.speakers[RECIPIENT]
