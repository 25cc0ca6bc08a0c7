"""A hub that serves, put together from its parts over one data folder."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime
from functools import partial
from typing import NoReturn

import structlog

from adapters.system import system_randomness
from hub.application.erasure import Eraser
from hub.application.lane import CallersLane, Lane
from hub.application.sweeping import Sweep
from hub.application.timestamp_book import TimestampBook
from hub.application.timestamping import Timestamping
from hub.application.tracing import TracedLane
from hub.application.uploads import Uploads
from hub.bootstrap import key_life
from hub.bootstrap.content import require_content
from hub.bootstrap.core import Core, call_all
from hub.bootstrap.issuers import Issuers
from hub.bootstrap.jobs import LeadersJobs, Means, repeated
from hub.bootstrap.leading import Acting, NoLongerLeading
from hub.bootstrap.member import Member
from hub.bootstrap.operating import Operating, Parts, tracer_of
from hub.bootstrap.relaying import AxisJob
from hub.bootstrap.services import Services
from hub.bootstrap.timestamps import authorities_to_ask, schedule_of
from hub.bootstrap.witnesses import WitnessJob
from hub.bootstrap.workers import Workers
from hub.errors import LedgerMismatch
from hub.http_serving import bind
from hub.ledger.covering import Covering
from hub.ledger.fair_queue import Limits
from hub.ledger.writer import WritingLane
from hub.server.identity import Identities
from hub.server.interceptors import current_certificate
from hub.server.log_files import LogFiles, Tls, serving
from hub.server.watchers import Watchers

_logger = structlog.get_logger("hub")

_READINESS_EVERY_S = 2.0
_FOLLOW_ISSUERS_EVERY_S = 1.0
_LEADING_EVERY_S = 0.5


class HubProcess:
    """A hub that serves: the core, the lane, the server, and the jobs beside them."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._begun = core.clock()
        self.http_port: int | None = None
        self._log_files = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self._workers = Workers(core.settings.reader_threads)
        self._tracer = tracer_of(core.settings)
        self._watchers = Watchers(asyncio.get_running_loop())
        core.on_published.append(self._watchers.published)
        core.on_followed.append(self._watchers.published)
        offload = self._workers.offload
        covering = Covering(
            size=lambda: core.receipts.size,
            receipts=core.engine.receipts,
            offload=offload,
        )
        self._lane = _lane(core, covering)
        self._member = self._membership(covering)
        self._uploads = Uploads(
            store=core.uploads,
            vault=core.vault,
            log=core.log,
            offload=self._workers.offload_upload,
            clock=core.clock,
            randomness=system_randomness,
            shared=core.company is not None,
        )
        self._eraser = Eraser(
            log=core.log,
            vault=core.vault,
            content=core.content,
            uploads=self._uploads,
            views=core.views,
            receipts=core.receipts,
            offload=offload,
            leads=lambda: core.engine.leads,
        )
        self._acting = Acting(core.lease)
        self.witnesses = WitnessJob(core, self._lane, offload, self._acting)
        stopping = threading.Event()
        sweep = Sweep(core.content, core.log, core.lease, stopping=stopping.wait)
        self.axis = AxisJob(core, self._lane, offload, self._acting, sweep.leave)
        self._issuers = Issuers(core, self._lane, offload, self._clock, self._acting)
        book = TimestampBook(core.log, core.store, core.receipts)
        timestamping = self._timestamping(book)
        callers_lane = self._callers_lane()
        hub_keys = key_life.hub_keys(core, callers_lane, offload)
        self._jobs = LeadersJobs(
            core,
            Means(
                lane=self._lane,
                workers=self._workers,
                uploads=self._uploads,
                eraser=self._eraser,
                issuers=self._issuers,
                timestamping=timestamping,
                witnesses=self.witnesses,
                axis=self.axis,
                hub_keys=hub_keys,
                sweep=sweep,
                stopping=stopping,
            ),
        )
        self.operating = Operating(
            core,
            Parts(
                waiting=self._lane.waiting,
                open_streams=lambda: len(self._watchers),
                witnesses=self.witnesses.status,
                follows_well=self._follows_well,
                axis=self.axis,
            ),
            book,
            hub_keys,
            core.clock,
        )
        self.server = Services(
            core=core,
            lane=callers_lane,
            hubs_lane=self._lane,
            offload=offload,
            clock=self._clock,
            uploads=self._uploads,
            eraser=self._eraser,
            issuers=self._issuers,
            book=book,
            timestamping=timestamping,
            hub_keys=hub_keys,
            roots=key_life.trusted_roots(core, callers_lane, offload),
            axis=self.axis,
            watchers=self._watchers,
            tracer=self._tracer,
            member=self._member,
        ).server()

    @property
    def port(self) -> int:
        """The port the server listens on."""
        return self.server.port

    async def start(self) -> None:
        """Check the ledger, take up what was left undone, then listen.

        Raises LedgerMismatch when what is stored contradicts itself or the signer, StoreMissing
        when the content folder is gone, OSError when something that was erased by law cannot
        be erased.
        """
        core, offload = self._core, self._workers.offload
        await self.operating.open()
        await offload(self._take_up)
        await self._issuers.load()
        await offload(lambda: require_content(core.contents, core.log))
        # Before anything is swept: what a crash left under an exchange that was never recorded
        # is somebody's upload.
        await self._uploads.recover()
        if core.engine.leads:
            await self._finish_taking_up()
        self._lane.start()
        if self._member is not None:
            self._member.start()
        await self.server.start()
        await self._serve_log_files()
        self.operating.serves()
        await self._tell_readiness()
        self._tasks = [asyncio.create_task(self._watch_readiness(), name="readiness")]
        if self._member is not None:
            follow = repeated("issuers", self._issuers.follow, _FOLLOW_ISSUERS_EVERY_S, core.meter)
            self._tasks.append(asyncio.create_task(follow, name="issuers"))
            leading = self._member.lead_when_possible(self._take_over)
            self._tasks.append(asyncio.create_task(leading, name="leading"))
        if core.engine.leads:
            self._tasks += self._jobs.start(self._begun)

    async def stop(self) -> None:
        """Drain: not ready first, then no new calls; running ones finish, what waits is committed.

        Whoever got no answer by then gets UNAVAILABLE, and may repeat the very same call.
        """
        self.operating.stops()
        await self.server.leave()
        # Not where the start itself has failed, nor where another hub leads already.
        if self._tasks and not self._core.deposed.is_set():
            await asyncio.sleep(self._core.settings.stop_notice_s)
        self._jobs.stop()
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await self._log_files.aclose()
        await self.server.stop(self._core.settings.drain_s)
        await self._lane.stop()
        if self._member is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._member.stop)
        await self._issuers.close()
        self._workers.close()
        self._acting.close()
        await self.operating.close()
        if self._tracer is not None:
            await asyncio.to_thread(self._tracer.close)

    async def until_deposed(self) -> NoReturn:
        """Wait for ever, or until another hub leads; then raise NoLongerLeading."""
        while not self._core.deposed.is_set():  # noqa: ASYNC110 - a thread sets it.
            await asyncio.sleep(_LEADING_EVERY_S)
        raise NoLongerLeading("another hub has taken over the database")

    # --- Parts ----------------------------------------------------------------------------

    def _callers_lane(self) -> Lane:
        # What waits to be recorded when its caller is put out is recorded no more.
        lane, times = self._lane, self._core.engine.stepping.current_times
        return CallersLane(
            TracedLane(lane, self._tracer, times) if self._tracer else lane, current_certificate
        )

    def _membership(self, covering: Covering) -> Member | None:
        core = self._core
        if core.company is None or core.following is None:
            return None
        core.on_published.append(covering.published)
        return Member(
            core.company,
            core.following,
            core.database,
            engine=core.engine,
            lane=self._lane,
            covering=covering,
            receipts=core.receipts,
            signer=core.signer,
            followed=lambda: call_all(core.on_followed),
        )

    def _timestamping(self, book: TimestampBook) -> Timestamping:
        core = self._core
        return Timestamping(
            authorities_to_ask(core.folder, core.settings, self._acting),
            origin=core.settings.origin,
            schedule=schedule_of(core.settings),
            book=book,
            receipts=core.receipts,
            lane=self._lane,
            offload=self._workers.offload,
            clock=core.clock,
            randomness=system_randomness,
            failed=_no_timestamp,
        )

    async def _serve_log_files(self) -> None:
        """Serve the log as files, where the settings say so."""
        core = self._core
        if not core.settings.http_listen:
            return
        listener = bind(core.settings.http_listen)
        files = LogFiles(
            checkpoint=core.receipts.checkpoint,
            file=lambda path: self._workers.offload_file(partial(core.receipts.file, path)),
            caller=Identities(core.registry).of,
        )
        tls = Tls(
            certificate=core.folder.server_certificate,
            private_key=core.server_key,
            client_authorities=core.folder.transport_authorities,
        )
        await self._log_files.enter_async_context(serving(files, tls, listener))
        self.http_port = listener.getsockname()[1]
        _logger.info("the log is served as files", port=self.http_port)

    def _clock(self) -> datetime:
        """The time by which statements are judged, whatever a clock that was set back says.

        Never before the newest event, which is what the next one will say of itself; nor before
        this hub began: exchanges have the time in their ids, and `sweep` goes by it.
        """
        return max(self._core.clock(), self._begun, self._core.engine.last_time)

    # --- Taking up, and over --------------------------------------------------------------

    def _take_up(self) -> None:
        """Load the log; beside a hub that leads, change nothing of it."""
        core = self._core
        if core.company is None:
            core.engine.load()
        elif core.company.leads:
            core.company.mark(core.custody)
            was_frozen = core.company.pulse.read().frozen is not None
            if was_frozen:
                core.known.forget()  # Somebody has looked, and everything is read.
            core.engine.load()
            if was_frozen:
                core.company.thaw()
        else:
            core.company.require_shared(core.custody)
            core.engine.join()

    async def _finish_taking_up(self) -> None:
        # Whatever a backup brought back: nobody is served while something erased is here.
        if erased := await self._eraser.run():
            _logger.info("erased again what was erased before", count=erased)
        # Only now: a start that refuses changes nothing.
        await self._workers.offload(lambda: self._core.known.note(self._core.receipts.size))

    async def _take_over(self) -> None:
        """Go on where the hub that led has stopped, without a start; repeated until it is done."""
        core, company = self._core, self._core.company
        while company is not None:
            try:
                await self._workers.offload(partial(company.mark, core.custody))
                await self._lane.run(core.engine.load)
                await self._finish_taking_up()
            except LedgerMismatch:
                return  # Frozen, for all: it is told, and somebody must look.
            except Exception as error:
                _logger.error("taking over failed and will be tried again", exc_info=error)
                await asyncio.sleep(_LEADING_EVERY_S)
            else:
                break
        self._begun = self._clock()
        self._tasks += self._jobs.start(self._begun)

    # --- Beside the hub that leads --------------------------------------------------------

    async def _watch_readiness(self) -> None:
        while True:
            await asyncio.sleep(_READINESS_EVERY_S)
            await self._tell_readiness()

    async def _tell_readiness(self) -> None:
        await self.server.ready(await self.operating.look())

    def _follows_well(self) -> bool:
        """Whether a hub that does not lead gets its checkpoints, and sees what others store."""
        company, member = self._core.company, self._member
        return (
            company is not None
            and member is not None
            and member.is_well
            and company.shares_content()
        )


def _lane(core: Core, covering: Covering) -> WritingLane:
    settings = core.settings
    return WritingLane(
        core.engine,
        covering=covering,
        batch_max=settings.batch_max,
        limits=Limits(
            total=settings.queue_max,
            per_caller=settings.queue_per_agency,
            rate_per_s=settings.rate_per_agency,
            burst=settings.burst_per_agency,
        ),
        waited=core.engine.stepping.waited,
    )


@asynccontextmanager
async def running_hub(core: Core) -> AsyncIterator[HubProcess]:
    """A hub that listens for as long as the block runs. Raises LedgerMismatch."""
    hub = HubProcess(core)
    try:
        await hub.start()
        yield hub
    finally:
        await hub.stop()


def _no_timestamp(authority: str, error: Exception) -> None:
    _logger.warning("no timestamp", authority=authority, error=str(error))
