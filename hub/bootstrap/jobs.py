"""What the hub that leads does at its times, beside the calls."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import structlog

from hub.application.axis_verdicts import AXIS_WORDS, AxisVerdicts
from hub.application.erasure import Eraser
from hub.application.expiry import expire_overdue
from hub.application.hub_keys import HubKeys
from hub.application.lane import Lane
from hub.application.measuring import JOB_FAILURES, Meter
from hub.application.ports import NotLeading
from hub.application.revocation import DoubtReview
from hub.application.sweeping import Sweep
from hub.application.timestamping import Timestamping
from hub.application.uploads import Uploads
from hub.application.verdicts import VerdictJob
from hub.bootstrap import key_life
from hub.bootstrap.core import Core
from hub.bootstrap.issuers import Issuers
from hub.bootstrap.relaying import AxisJob
from hub.bootstrap.witnesses import WitnessJob
from hub.bootstrap.workers import Workers
from hub.ledger.recheck import Recheck, Stopped

_logger = structlog.get_logger("hub")

_EXPIRY_EVERY_S = 30.0
_TIMESTAMPS_EVERY_S = 5.0
_DOUBTS_EVERY_S = 1.0
_CRLS_EVERY_S = 5.0
_OCSP_EVERY_S = 1.0
_EXAMINE_EVERY_S = 2.0
_UPLOAD_SWEEP_EVERY_S = 600.0
_ERASE_EVERY_S = 30.0
# Where an operator may wait for it at a hub that does not lead.
_ERASE_FOR_ALL_EVERY_S = 1.0
_RECHECK_EVERY_S = 60.0
# After one that failed; one that was made is enough until the next start.
_SWEEP_AGAIN_S = 60.0
_REMIND_EVERY_S = 6 * 3600.0
# What a hub has stored for longer without recording it, it records no more.
_RECORDED_WITHIN = timedelta(hours=1)


async def repeated(
    name: str,
    work: Callable[[], Awaitable[object]],
    every_s: float,
    meter: Meter,
    *,
    first_after_s: float = 0.0,
) -> None:
    """Do it for ever, with so many seconds between; a failure is counted, told, and tried again."""
    await asyncio.sleep(first_after_s)
    while True:
        try:
            await work()
        except Exception as error:
            meter.count(JOB_FAILURES, name)
            _logger.error("a job failed and will be tried again", job=name, exc_info=error)
        await asyncio.sleep(every_s)


@dataclass(frozen=True, slots=True)
class Means:
    """What the jobs work with."""

    lane: Lane
    workers: Workers
    uploads: Uploads
    eraser: Eraser
    issuers: Issuers
    timestamping: Timestamping
    witnesses: WitnessJob
    axis: AxisJob
    hub_keys: HubKeys
    sweep: Sweep
    stopping: threading.Event


class LeadersJobs:
    """Its jobs; `start` where this hub leads, `stop` before its threads end."""

    def __init__(self, core: Core, means: Means) -> None:
        self._core, self._means = core, means
        self._recheck = Recheck(
            core.log,
            core.store,
            core.engine,
            core.known,
            every_events=core.settings.start_check_events,
            stopping=means.stopping.wait,
        )
        self._doubts = DoubtReview(
            log=core.log,
            registry=core.registry,
            receipts=core.receipts,
            lane=means.lane,
            offload=means.workers.offload,
        )
        beside = AxisVerdicts(
            log=core.log,
            lane=means.lane,
            vault=core.vault,
            examination=means.issuers.in_background,
            offload=means.workers.offload,
        )
        self._verdicts = VerdictJob(
            log=core.log,
            receipts=core.receipts,
            lane=means.lane,
            vault=core.vault,
            examination=means.issuers.in_background,
            offload=means.workers.offload,
            beside=dict.fromkeys(AXIS_WORDS, beside.examine),
        )

    def start(self, since: datetime) -> list[asyncio.Task[None]]:
        """All of them, as tasks to be cancelled; this hub works since then."""
        together = self._core.company is not None
        if together:
            # Other hubs hold content of submissions that they are still to record.
            since -= _RECORDED_WITHIN
        erase_s = _ERASE_FOR_ALL_EVERY_S if together else _ERASE_EVERY_S
        tasks = [
            asyncio.create_task(self._sweep(since), name="sweep"),
            asyncio.create_task(self._means.witnesses.run(), name="witnesses"),
            asyncio.create_task(self._means.axis.run(), name="axis"),
            self._repeated("expiry", self._expire, _EXPIRY_EVERY_S),
            self._repeated("timestamps", self._stamp, _TIMESTAMPS_EVERY_S),
            self._repeated("doubts", self._review_doubts, _DOUBTS_EVERY_S),
            self._repeated("revocation-lists", self._means.issuers.lists.round, _CRLS_EVERY_S),
            self._repeated("ocsp", self._ask_responders, _OCSP_EVERY_S),
            self._repeated("uploads", self._sweep_uploads, _UPLOAD_SWEEP_EVERY_S),
            self._repeated("erasure", self._means.eraser.run, erase_s, first_after_s=erase_s),
            self._repeated("recheck", self._read_again, _RECHECK_EVERY_S),
            self._repeated("reminders", self._remind, _REMIND_EVERY_S),
        ]
        if self._core.settings.document_signatures == "note":
            tasks.append(self._repeated("signatures", self._verdicts.round, _EXAMINE_EVERY_S))
        return tasks

    def stop(self) -> None:
        """Have what reads for hours in a thread end soon."""
        self._means.stopping.set()

    def _repeated(
        self,
        name: str,
        work: Callable[[], Awaitable[object]],
        every_s: float,
        *,
        first_after_s: float = 0.0,
    ) -> asyncio.Task[None]:
        job = repeated(name, work, every_s, self._core.meter, first_after_s=first_after_s)
        return asyncio.create_task(job, name=name)

    @property
    def _records(self) -> bool:
        """Whether what is asked of others can be recorded; if not it is asked for in vain."""
        return not self._core.registry().frozen

    async def _expire(self) -> None:
        """Record what was not collected in time."""
        if self._records:
            lane, offload = self._means.lane, self._means.workers.offload
            await expire_overdue(self._core.views, lane, offload, at=self._core.clock())

    async def _review_doubts(self) -> None:
        """Put in doubt what was signed with keys that were revoked as of an earlier time."""
        if found := await self._doubts.round():
            _logger.warning("signatures are in doubt", count=found)

    async def _ask_responders(self) -> None:
        """Ask about certificates ahead, each at its time; nobody ever waits for this."""
        if self._records:
            await self._means.issuers.answers.round()

    async def _stamp(self) -> None:
        """Ask the time-stamping authorities, each at its time; nobody ever waits for this."""
        if self._records:
            await self._means.timestamping.round()

    async def _read_again(self) -> None:
        """Read beside the work what the start took for whole, and what has come since."""
        core = self._core
        if core.engine.frozen is not None:
            return
        size = core.receipts.size
        try:
            read = await self._means.workers.offload_recheck(lambda: self._recheck.run(size))
        except Stopped:
            return
        if read and core.engine.frozen is None:
            _logger.info("read again, and found whole", events=read)

    async def _sweep_uploads(self) -> None:
        """Forget uploads that nobody goes on with."""
        age = timedelta(hours=self._core.settings.upload_age_h)
        if swept := await self._means.uploads.sweep(age):
            _logger.info("swept uploads that no submission has used", count=swept)

    async def _remind(self) -> None:
        """Say which steps for the hub's keys come near."""
        key_life.remind(self._means.hub_keys)

    async def _sweep(self, since: datetime) -> None:
        """Remove content that no event points at, or an erased one; only what is older than us."""
        work = partial(self._means.sweep.run, since)
        while True:
            try:
                if swept := await self._means.workers.offload_sweep(work):
                    _logger.info("swept content that was never recorded", count=swept)
                return
            except NotLeading:
                return
            except Exception as error:
                self._core.meter.count(JOB_FAILURES, "sweep")
                _logger.error("a job failed and will be tried again", job="sweep", exc_info=error)
            await asyncio.sleep(_SWEEP_AGAIN_S)
