"""A hub put together from its parts, over one data folder."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import (
    AsyncExitStack,
    ExitStack,
    asynccontextmanager,
    closing,
    contextmanager,
    suppress,
)
from contextvars import copy_context
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import NoReturn, TypeVar
from zoneinfo import ZoneInfo

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from adapters.calendar import vietnamese_working_day
from adapters.pki.examiner import ExaminerProcess
from adapters.pki.http import HttpCrlSource
from adapters.storage.cosignatures import CosignatureStore
from adapters.storage.document_keys import DocumentKeys
from adapters.storage.engine import Database, DatabaseAway
from adapters.storage.events import EventRecorder
from adapters.storage.figures import Figures
from adapters.storage.lists import DocumentLists
from adapters.storage.relays import RelayList
from adapters.storage.retention import RetentionList
from adapters.storage.tree import TreeStore
from adapters.storage.verified import VerifiedFile
from adapters.storage.views import Views
from adapters.system import system_clock, system_randomness
from hub.application.agencies import Agencies
from hub.application.agency_changes import AgencyChanges
from hub.application.audit import OwnReceipts
from hub.application.auditors import Auditors
from hub.application.calendar import Calendar
from hub.application.case_reading import CaseReading
from hub.application.certificate_evidence import KnownOfCertificates
from hub.application.certificates import Suitability, divided
from hub.application.directory import Directory
from hub.application.erasure import Eraser, Orders
from hub.application.exchanges import Exchanges, is_kept
from hub.application.expiry import expire_overdue
from hub.application.facts import Facts
from hub.application.intake import StalePolicy
from hub.application.lane import CallersLane
from hub.application.listing import Listing
from hub.application.mapper import ClosedMapper
from hub.application.measuring import JOB_FAILURES, Meter
from hub.application.ocsp_answers import KnownOfRevocation, OcspAnswers
from hub.application.operators import Operators
from hub.application.ports import (
    ContentStore,
    KeyCustody,
    SignatureExaminer,
    Signer,
    UploadStore,
)
from hub.application.refusals import RefusalRecorder
from hub.application.registry import Registry
from hub.application.renewal import Renewals
from hub.application.replay import Replay
from hub.application.retention import Retention
from hub.application.revocation import DoubtReview, Revocations
from hub.application.revocation_lists import NamedSource, RevocationLists
from hub.application.statistics import Counting
from hub.application.timestamp_book import TimestampBook
from hub.application.timestamping import Timestamping
from hub.application.timestamps import Timestamps
from hub.application.tracing import TracedLane
from hub.application.uploads import Uploads
from hub.application.vault import Vault
from hub.application.verdicts import Demands, Examination, VerdictJob
from hub.bootstrap import key_life
from hub.bootstrap.content import Contents, open_content, require_content
from hub.bootstrap.custody import Custodian, custodian_of
from hub.bootstrap.descriptors import connections_allowed
from hub.bootstrap.folder import DataFolder
from hub.bootstrap.joining import Company, in_company
from hub.bootstrap.keys import Keys, open_keys
from hub.bootstrap.leading import NoLongerLeading, alone_with
from hub.bootstrap.member import Member
from hub.bootstrap.ocsp import responders_to_ask
from hub.bootstrap.operating import Operating, Parts, meter_of, tracer_of
from hub.bootstrap.presence import require_document_keys
from hub.bootstrap.relaying import AxisJob
from hub.bootstrap.timestamps import authorities_to_ask, schedule_of
from hub.bootstrap.upgrade import database_url, document_keys_url, require_schema
from hub.bootstrap.witnesses import WitnessJob
from hub.config import Settings
from hub.domain.working_days import WorkingDays
from hub.errors import HubError, LedgerMismatch, Unavailable
from hub.evidence.chains import anchors_among
from hub.evidence.found import Authorities
from hub.http_serving import bind
from hub.ledger.batch import BatchEngine
from hub.ledger.covering import Covering
from hub.ledger.fair_queue import Limits
from hub.ledger.following import Following
from hub.ledger.known import KnownGood
from hub.ledger.receipts import ReceiptBook
from hub.ledger.recheck import Recheck, Stopped
from hub.ledger.sequencer import Sequencer
from hub.ledger.steps import Stepping
from hub.ledger.writer import WritingLane
from hub.projections.deliveries import DeliveryProjection
from hub.server.audit_service import AuditServicer
from hub.server.directory_service import DirectoryServicer
from hub.server.exchange_service import ExchangeServicer
from hub.server.identity import Identities
from hub.server.interceptors import CallInterceptor, current_certificate
from hub.server.ledger_service import LedgerServicer
from hub.server.limits import Limits as Held
from hub.server.limits import OpenCalls, Patience
from hub.server.log_files import LogFiles, Tls, serving
from hub.server.registry_service import RegistryServicer
from hub.server.server import HubServer, ServerIdentity
from hub.server.watchers import Watchers

T = TypeVar("T")

_logger = structlog.get_logger("hub")
_READINESS_EVERY_S = 2.0
# How far the clock may be behind the newest event: it is set by small steps all the time.
_CLOCK_BEHIND_MAX = timedelta(seconds=5)
_EXPIRY_EVERY_S = 30.0
# For the log as files: what is asked for there never takes a thread from the agencies.
_FILE_READERS = 2
_TIMESTAMPS_EVERY_S = 5.0
_DOUBTS_EVERY_S = 1.0
_CRLS_EVERY_S = 5.0
_OCSP_EVERY_S = 1.0
_EXAMINE_EVERY_S = 2.0
_FOLLOW_ISSUERS_EVERY_S = 1.0
# What a hub has stored for longer without recording it, it records no more.
_RECORDED_WITHIN = timedelta(hours=1)
_UPLOAD_SWEEP_EVERY_S = 600.0
_ERASE_EVERY_S = 30.0
# Where an operator may wait for it at a hub that does not lead.
_ERASE_FOR_ALL_EVERY_S = 1.0
_RECHECK_EVERY_S = 60.0
_LEADING_EVERY_S = 0.5
_REMIND_EVERY_S = 6 * 3600.0
# Each writes and syncs a part of 1 MiB at a time; they must not keep readers waiting.
_UPLOAD_THREADS = 4


@dataclass(frozen=True, slots=True)
class Core:
    """Everything of a hub but its network: what `serve`, `fsck` and `init` share."""

    folder: DataFolder
    settings: Settings
    database: Database
    log: EventRecorder
    store: TreeStore
    cosignatures: CosignatureStore
    views: Views
    lists: DocumentLists
    figures: Figures
    retention: RetentionList
    relays: RelayList
    contents: Contents
    vault: Vault
    signer: Signer
    server_key: Path
    receipts: ReceiptBook
    projection: DeliveryProjection
    engine: BatchEngine
    known: KnownGood
    deposed: threading.Event
    company: Company | None
    custody: KeyCustody
    following: Following | None
    meter: Meter
    on_published: list[Callable[[], None]]
    on_followed: list[Callable[[], None]]

    @property
    def content(self) -> ContentStore:
        """Attachments that belong to exchanges."""
        return self.contents.store

    @property
    def uploads(self) -> UploadStore:
        """Attachments that belong to nobody yet."""
        return self.contents.uploads


@contextmanager
def open_core(
    folder: DataFolder,
    settings: Settings,
    custodian: Custodian | None = None,
    *,
    standby: bool = False,
    together: bool = False,
) -> Iterator[Core]:
    """Open the stores of a hub, alone; nothing is checked or changed yet.

    Where another hub leads on the database, `standby` waits until it does no more, and a hub that
    is opened `together` with others serves beside it.

    `custodian` opens the keys; if left out, one that can ask nobody for a secret. Raises
    FolderBusy, ConfigInvalid, StoreMissing, and what `open_keys` does.
    """
    with folder.lock():
        url, keys_url = database_url(folder, settings), document_keys_url(folder, settings)
        require_schema(url, folder.root)
        require_document_keys(keys_url)
        with (
            closing(Database(url)) as database,
            closing(Database(keys_url)) as key_database,
            ExitStack() as stack,
        ):
            company = None
            if together:
                company = stack.enter_context(in_company(database, folder, settings))
                deposed = company.lost
            else:
                deposed = stack.enter_context(alone_with(database, folder, standby=standby))
            contents = stack.enter_context(
                open_content(folder, settings, shared=company is not None)
            )
            keys = open_keys(folder, settings, custodian or custodian_of(folder, settings))
            yield _core(
                folder,
                settings,
                database,
                key_database,
                stack.enter_context(keys),
                contents=contents,
                deposed=deposed,
                company=company,
            )


def _core(
    folder: DataFolder,
    settings: Settings,
    database: Database,
    key_database: Database,
    keys: Keys,
    *,
    contents: Contents,
    deposed: threading.Event,
    company: Company | None,
) -> Core:
    log, store, views = EventRecorder(database), TreeStore(database), Views(database)
    vault = Vault(DocumentKeys(key_database), keys.custody, system_randomness)
    signer = keys.signer
    cosignatures = CosignatureStore(database)
    receipts = ReceiptBook(log, store, cosignatures)
    on_published: list[Callable[[], None]] = []
    meter = meter_of(settings)
    mark = VerifiedFile(folder.verified)
    known = KnownGood(log, store, mark, newest=settings.start_check_events)
    sequencer = Sequencer(
        origin=settings.origin,
        log=log,
        store=store,
        signer=signer,
        known=known,
    )
    engine = BatchEngine(
        log=log,
        mapper=ClosedMapper(system_randomness),
        sequencer=sequencer,
        receipts=receipts,
        vault=vault,
        clock=system_clock,
        randomness=system_randomness,
        published=lambda: _call_all(on_published),
        others=company,
        stepping=Stepping(meter),
    )
    following = None
    if company is not None:
        following = Following(
            origin=settings.origin,
            pulse=company.pulse.read,
            store=store,
            signer=signer,
            receipts=receipts,
            register=engine.register,
            leads=lambda: engine.leads,
        )
    projection = DeliveryProjection(log, vault, views)
    on_published.append(lambda: projection.catch_up(receipts.size, sequencer.newest))
    core = Core(
        folder=folder,
        settings=settings,
        database=database,
        log=log,
        store=store,
        cosignatures=cosignatures,
        views=views,
        lists=DocumentLists(database),
        figures=Figures(database),
        retention=RetentionList(database),
        relays=RelayList(database),
        contents=contents,
        vault=vault,
        signer=signer,
        server_key=keys.server_key,
        receipts=receipts,
        projection=projection,
        engine=engine,
        known=known,
        deposed=deposed,
        company=company,
        custody=keys.custody,
        following=following,
        meter=meter,
        on_published=on_published,
        on_followed=[],
    )
    key_life.follow_the_log(core)
    return core


def _call_all(listeners: list[Callable[[], None]]) -> None:
    """Call each, whatever became of the others; then raise what went wrong first."""
    failures: list[Exception] = []
    for listener in listeners:
        try:
            listener()
        except Exception as error:
            failures.append(error)
    if failures:
        raise failures[0]


class HubProcess:
    """A hub that serves: the core, the lane, the server, and the jobs beside them."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._begun = system_clock()
        loop = asyncio.get_running_loop()
        self._readers = ThreadPoolExecutor(core.settings.reader_threads, "reader")
        self._file_readers = ThreadPoolExecutor(_FILE_READERS, "file-reader")
        self._log_files = AsyncExitStack()
        self.http_port: int | None = None
        self._upload_threads = ThreadPoolExecutor(_UPLOAD_THREADS, "upload")
        self._uploads = Uploads(
            store=core.uploads,
            vault=core.vault,
            log=core.log,
            offload=self._offload_upload,
            clock=system_clock,
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
            offload=self._offload,
            leads=lambda: core.engine.leads,
        )
        self._watchers = Watchers(loop)
        settings = core.settings
        covering = Covering(
            size=lambda: core.receipts.size,
            receipts=core.engine.receipts,
            offload=self._offload,
        )
        self._lane = WritingLane(
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
        self._tracer = tracer_of(settings)
        # What waits to be recorded when its caller is put out is recorded no more.
        stepping, lane = core.engine.stepping, self._lane
        self._callers_lane = CallersLane(
            TracedLane(lane, self._tracer, stepping.current_times) if self._tracer else lane,
            current_certificate,
        )
        self.witnesses = WitnessJob(core, self._lane, self._offload)
        self.axis = AxisJob(core, self._lane, self._offload)
        self._jobs: list[asyncio.Task[None]] = []
        self._rechecking = ThreadPoolExecutor(1, "recheck")
        self._stopping = threading.Event()
        self._recheck = Recheck(
            core.log,
            core.store,
            core.engine,
            core.known,
            every_events=settings.start_check_events,
            stopping=self._stopping.wait,
        )
        core.on_published.append(self._watchers.published)
        core.on_followed.append(self._watchers.published)
        self._member: Member | None = None
        if core.company is not None and core.following is not None:
            core.on_published.append(covering.published)
            self._member = Member(
                core.company,
                core.following,
                core.database,
                engine=core.engine,
                lane=self._lane,
                covering=covering,
                receipts=core.receipts,
                signer=core.signer,
                followed=lambda: _call_all(core.on_followed),
            )
        self._book = TimestampBook(core.log, core.store, core.receipts)
        self._timestamping = self._timestamp_job()
        self._revocation_lists = self._crl_job()
        self._ocsp_answers = self._ocsp_job()
        self._revocation = KnownOfRevocation(self._revocation_lists, self._ocsp_answers)
        self._hub_keys = key_life.hub_keys(core, self._callers_lane, self._offload)
        self._roots = key_life.trusted_roots(core, self._callers_lane, self._offload)
        # Two: nobody who waits for an answer waits for what is examined in the background.
        timeout_s = core.settings.signature_timeout_s
        self._examiners = [
            ExaminerProcess(timeout_s=timeout_s, niceness=niceness) for niceness in (0, 10)
        ]
        self.operating = Operating(
            core,
            Parts(
                waiting=self._lane.waiting,
                open_streams=lambda: len(self._watchers),
                witnesses=self.witnesses.status,
                follows_well=self._follows_well,
                axis=self.axis,
            ),
            self._book,
            self._hub_keys,
            system_clock,
        )
        self.server = self._server()

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
        core = self._core
        await self.operating.open()
        await self._offload(self._take_up)
        await self._offload(self._revocation_lists.load)
        await self._offload(self._ocsp_answers.load)
        await self._offload(lambda: require_content(core.contents, core.log))
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
        self._jobs = [asyncio.create_task(self._watch_readiness(), name="readiness")]
        if self._member is not None:
            self._jobs.append(asyncio.create_task(self._follow_issuers(), name="issuers followed"))
            leading = self._member.lead_when_possible(self._take_over)
            self._jobs.append(asyncio.create_task(leading, name="leading"))
        if core.engine.leads:
            self._jobs += self._leaders_jobs(self._begun)

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
        await self._offload(lambda: self._core.known.note(self._core.receipts.size))

    async def _take_over(self) -> None:
        """Go on where the hub that led has stopped, without a start; repeated until it is done."""
        core, company = self._core, self._core.company
        while company is not None:
            try:
                await self._offload(partial(company.mark, core.custody))
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
        self._jobs += self._leaders_jobs(self._begun)

    def _leaders_jobs(self, since: datetime) -> list[asyncio.Task[None]]:
        if self._member is not None:
            # Other hubs hold content of submissions that they are still to record.
            since -= _RECORDED_WITHIN
        sweep = asyncio.create_task(self._sweep(since), name="sweep")
        return [
            sweep,
            asyncio.create_task(self._expire(), name="expiry"),
            asyncio.create_task(self._stamp(), name="timestamps"),
            asyncio.create_task(self._review_doubts(), name="doubts"),
            asyncio.create_task(self._fetch_crls(), name="crls"),
            asyncio.create_task(self._ask_responders(), name="ocsp"),
            asyncio.create_task(self._examine_documents(), name="signatures"),
            asyncio.create_task(self._sweep_uploads(), name="uploads"),
            asyncio.create_task(self._erase(), name="erasure"),
            asyncio.create_task(self.witnesses.run(), name="witnesses"),
            asyncio.create_task(self._read_again(), name="recheck"),
            asyncio.create_task(self._remind(), name="reminders"),
            asyncio.create_task(self._relay(sweep), name="axis"),
        ]

    async def stop(self) -> None:
        """Drain: not ready first, then no new calls; running ones finish, what waits is committed.

        Whoever got no answer by then gets UNAVAILABLE, and may repeat the very same call.
        """
        self.operating.stops()
        await self.server.leave()
        # Not where the start itself has failed, nor where another hub leads already.
        if self._jobs and not self._core.deposed.is_set():
            await asyncio.sleep(self._core.settings.stop_notice_s)
        self._stopping.set()
        for job in self._jobs:
            job.cancel()
            with suppress(asyncio.CancelledError):
                await job
        await self._log_files.aclose()
        await self.server.stop(self._core.settings.drain_s)
        await self._lane.stop()
        if self._member is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._member.stop)
        for examiner in self._examiners:
            await examiner.close()
        self._upload_threads.shutdown()
        self._readers.shutdown()
        self._file_readers.shutdown()
        self._rechecking.shutdown()
        await self.operating.close()
        if self._tracer is not None:
            await asyncio.to_thread(self._tracer.close)

    async def _serve_log_files(self) -> None:
        """Serve the log as files, where the settings say so."""
        core, loop = self._core, asyncio.get_running_loop()
        if not core.settings.http_listen:
            return
        listener = bind(core.settings.http_listen)
        files = LogFiles(
            checkpoint=core.receipts.checkpoint,
            file=lambda path: loop.run_in_executor(self._file_readers, core.receipts.file, path),
            caller=Identities(lambda: core.engine.registry).of,
        )
        tls = Tls(
            certificate=core.folder.server_certificate,
            private_key=core.server_key,
            client_authorities=core.folder.transport_authorities,
        )
        await self._log_files.enter_async_context(serving(files, tls, listener))
        self.http_port = listener.getsockname()[1]
        _logger.info("the log is served as files", port=self.http_port)

    async def _offload(self, work: Callable[[], T]) -> T:
        # What is logged on the way names the call it belongs to.
        within = copy_context().run
        return await _asked(asyncio.get_running_loop().run_in_executor(self._readers, within, work))

    async def _offload_upload(self, work: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        return await _asked(loop.run_in_executor(self._upload_threads, copy_context().run, work))

    def _clock(self) -> datetime:
        """The time by which statements are judged, whatever a clock that was set back says.

        Never before the newest event, which is what the next one will say of itself; nor before
        this hub began: exchanges have the time in their ids, and `sweep` goes by it.
        """
        return max(system_clock(), self._begun, self._core.engine.last_time)

    def _server(self) -> HubServer:
        core = self._core

        def registry() -> Registry:
            return core.engine.registry

        policy = StalePolicy(
            timedelta(hours=core.settings.crl_age_max_h), core.settings.crl_stale == "refuse"
        )
        exchanges = Exchanges(
            origin=core.settings.origin,
            log=core.log,
            lane=self._callers_lane,
            receipts=core.receipts,
            registry=registry,
            views=core.views,
            content=core.content,
            uploads=self._uploads,
            vault=core.vault,
            refusals=RefusalRecorder(self._lane, self._clock, _refusal_not_recorded),
            offload=self._offload,
            clock=self._clock,
            randomness=system_randomness,
            policy=policy,
            demands=Demands(
                self._examination(self._examiners[0]),
                core.settings.signatures_required_by,
                core.settings.person_and_agency_required_by,
            ),
        )
        own = OwnReceipts(core.receipts, self._offload, registry)
        facts = Facts(
            log=core.log,
            views=core.views,
            receipts=core.receipts,
            registry=registry,
            offload=self._offload,
        )
        suitability = Suitability(
            signing=_certificates(core.folder.signing_authorities),
            transport=_certificates(core.folder.transport_authorities),
            listed=self._revocation.listed,
            cleared=self._ocsp_answers.clears,
        )
        agencies = Agencies(lane=self._callers_lane, registry=registry, suitability=suitability)
        directory = Directory(self._callers_lane, registry)
        return HubServer(
            listen=core.settings.listen,
            identity=ServerIdentity(
                certificate=core.folder.server_certificate,
                private_key=core.server_key,
                client_authorities=core.folder.transport_authorities,
            ),
            interceptor=CallInterceptor(
                Identities(registry),
                Held(
                    OpenCalls(core.settings.calls_per_caller),
                    Patience(core.settings.reader_stall_s),
                ),
                core.meter,
                self._tracer,
                fresh=self._member.fresh if self._member else None,
            ),
            connections_max=connections_allowed(core.settings.connections_max),
            exchange=ExchangeServicer(
                exchanges,
                facts,
                self._uploads,
                self._watchers,
                self._listing(),
                renewals=Renewals(
                    origin=core.settings.origin,
                    lane=self._callers_lane,
                    suitability=suitability,
                    policy=policy,
                ),
            ),
            ledger=LedgerServicer(
                own,
                Timestamps(self._book, self._timestamping, self._offload),
                KnownOfCertificates(
                    log=core.log,
                    own=own,
                    receipts=core.receipts,
                    registry=registry,
                    offload=self._offload,
                ),
                self._roots,
            ),
            registry=RegistryServicer(
                agencies,
                AgencyChanges(self._callers_lane),
                directory,
                Calendar(lane=self._callers_lane, registry=registry),
                Auditors(self._callers_lane, suitability),
                operators=Operators(self._callers_lane, registry, suitability),
                orders=self._orders(),
                retention=Retention(
                    years=core.settings.retention,
                    lists=core.retention,
                    offload=self._offload,
                    clock=self._clock,
                ),
                revocations=Revocations(self._callers_lane),
                hub_keys=self._hub_keys,
                roots=self._roots,
                relays=self.axis.operators,
            ),
            directory=DirectoryServicer(directory),
            audit=self._audit_servicer(),
            watchers=self._watchers,
        )

    def _audit_servicer(self) -> AuditServicer:
        core = self._core
        return AuditServicer(
            Replay(core.log, core.receipts, self._offload),
            CaseReading(
                log=core.log,
                lane=self._callers_lane,
                receipts=core.receipts,
                content=core.content,
                vault=core.vault,
                offload=self._offload,
            ),
            Counting(
                figures=core.figures,
                receipts=core.receipts,
                registry=lambda: core.engine.registry,
                calendar=working_days(core.settings),
                offload=self._offload,
                clock=self._clock,
            ),
        )

    def _orders(self) -> Orders:
        core = self._core
        return Orders(
            origin=core.settings.origin,
            log=core.log,
            lane=self._callers_lane,
            receipts=core.receipts,
            registry=lambda: core.engine.registry,
            vault=core.vault,
            views=core.views,
            eraser=self._eraser,
            offload=self._offload,
            clock=self._clock,
        )

    def _listing(self) -> Listing:
        core = self._core
        return Listing(
            lists=core.lists,
            registry=lambda: core.engine.registry,
            calendar=working_days(core.settings),
            offload=self._offload,
            clock=self._clock,
        )

    async def until_deposed(self) -> NoReturn:
        """Wait for ever, or until another hub leads; then raise NoLongerLeading."""
        while not self._core.deposed.is_set():  # noqa: ASYNC110 - a thread sets it.
            await asyncio.sleep(_LEADING_EVERY_S)
        raise NoLongerLeading("another hub has taken over the database")

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

    async def _expire(self) -> None:
        """Record what was not collected in time; looked for every half minute."""
        while True:
            try:
                if not self._core.engine.registry.frozen:
                    lane, offload = self._lane, self._offload
                    await expire_overdue(self._core.views, lane, offload, at=system_clock())
            except Exception as error:
                self._core.meter.count(JOB_FAILURES, "expiry")
                _logger.error("the expiry job failed and will be tried again", exc_info=error)
            await asyncio.sleep(_EXPIRY_EVERY_S)

    async def _review_doubts(self) -> None:
        """Put in doubt what was signed with keys that were revoked as of an earlier time."""
        core = self._core
        review = DoubtReview(
            log=core.log,
            registry=lambda: core.engine.registry,
            receipts=core.receipts,
            lane=self._lane,
            offload=self._offload,
        )
        while True:
            try:
                if found := await review.round():
                    _logger.warning("signatures are in doubt", count=found)
            except Exception as error:
                self._core.meter.count(JOB_FAILURES, "doubts")
                _logger.error("the doubt job failed and will be tried again", exc_info=error)
            await asyncio.sleep(_DOUBTS_EVERY_S)

    def _crl_job(self) -> RevocationLists:
        core = self._core
        settings = core.settings
        return RevocationLists(
            [
                NamedSource(each.name, HttpCrlSource(each.url, timeout_s=settings.crl_timeout_s))
                for each in settings.crls
            ],
            authorities=_authorities(core.folder),
            every=timedelta(seconds=settings.crl_every_s),
            log=core.log,
            registry=lambda: core.engine.registry,
            lane=self._lane,
            offload=self._offload,
            clock=self._clock,
            failed=_no_crl,
        )

    def _ocsp_job(self) -> OcspAnswers:
        core = self._core
        settings, authorities = core.settings, _authorities(core.folder)
        return OcspAnswers(
            responders_to_ask(core.folder, settings, authorities),
            authorities=authorities,
            every=timedelta(seconds=settings.ocsp_every_s),
            age_max=timedelta(hours=settings.crl_age_max_h),
            lists=self._revocation_lists,
            log=core.log,
            registry=lambda: core.engine.registry,
            lane=self._lane,
            offload=self._offload,
            clock=system_clock,
            randomness=system_randomness,
            failed=_no_answer,
        )

    def _examination(self, examiner: SignatureExaminer) -> Examination:
        core = self._core
        anchors, others = divided(_certificates(core.folder.signing_authorities))
        return Examination(
            examiner=examiner,
            content=core.content,
            authorities=Authorities(tuple(anchors), tuple(others), self._stampers()),
            lists=self._revocation,
            offload=self._offload,
            randomness=system_randomness,
        )

    def _stampers(self) -> tuple[bytes, ...]:
        core = self._core
        asked = authorities_to_ask(core.folder, core.settings)
        return tuple(anchors_among([der for each in asked for der in each.certificates]))

    async def _examine_documents(self) -> None:
        """Examine the signatures that accepted documents carry; looked for every two seconds."""
        core = self._core
        job = VerdictJob(
            log=core.log,
            receipts=core.receipts,
            lane=self._lane,
            vault=core.vault,
            examination=self._examination(self._examiners[1]),
            offload=self._offload,
        )
        while core.settings.document_signatures == "note":
            try:
                await job.round()
            except Exception as error:
                self._core.meter.count(JOB_FAILURES, "signatures")
                _logger.error("the examination failed and will be tried again", exc_info=error)
            await asyncio.sleep(_EXAMINE_EVERY_S)

    async def _follow_issuers(self) -> None:
        """Take up the lists and OCSP answers that the leader has; looked for every second."""
        core, known = self._core, self._core.engine.registry
        while True:
            await asyncio.sleep(_FOLLOW_ISSUERS_EVERY_S)
            try:
                newest = core.engine.registry
                if newest.crls != known.crls and not core.engine.leads:
                    await self._offload(self._revocation_lists.load)
                if newest.answers != known.answers and not core.engine.leads:
                    await self._offload(self._ocsp_answers.load)
                known = newest
            except Exception as error:
                _logger.error("what issuers say could not be taken up yet", exc_info=error)

    async def _fetch_crls(self) -> None:
        """Fetch revocation lists ahead, each at its time; nobody ever waits for this."""
        while True:
            try:
                await self._revocation_lists.round()
            except Exception as error:
                self._core.meter.count(JOB_FAILURES, "revocation-lists")
                _logger.error("the revocation job failed and will be tried again", exc_info=error)
            await asyncio.sleep(_CRLS_EVERY_S)

    async def _ask_responders(self) -> None:
        """Ask about certificates ahead, each at its time; nobody ever waits for this."""
        while True:
            try:
                # What cannot be recorded is asked for in vain.
                if not self._core.engine.registry.frozen:
                    await self._ocsp_answers.round()
            except Exception as error:
                self._core.meter.count(JOB_FAILURES, "ocsp")
                _logger.error("the OCSP job failed and will be tried again", exc_info=error)
            await asyncio.sleep(_OCSP_EVERY_S)

    def _timestamp_job(self) -> Timestamping:
        core = self._core
        return Timestamping(
            authorities_to_ask(core.folder, core.settings),
            origin=core.settings.origin,
            schedule=schedule_of(core.settings),
            book=self._book,
            receipts=core.receipts,
            lane=self._lane,
            offload=self._offload,
            clock=system_clock,
            randomness=system_randomness,
            failed=_no_timestamp,
        )

    async def _read_again(self) -> None:
        """Read beside the work what the start took for whole, and what has come since."""
        loop, core = asyncio.get_running_loop(), self._core
        while core.engine.frozen is None:
            try:
                size = core.receipts.size
                read = await loop.run_in_executor(self._rechecking, self._recheck.run, size)
                if read and core.engine.frozen is None:
                    _logger.info("read again, and found whole", events=read)
            except Stopped:
                return
            except Exception as error:
                self._core.meter.count(JOB_FAILURES, "recheck")
                _logger.error("reading again failed and will be tried again", exc_info=error)
            await asyncio.sleep(_RECHECK_EVERY_S)

    async def _stamp(self) -> None:
        """Ask the time-stamping authorities, each at its time; nobody ever waits for this."""
        while True:
            try:
                # A token that cannot be recorded is asked for in vain.
                if not self._core.engine.registry.frozen:
                    await self._timestamping.round()
            except Exception as error:
                self._core.meter.count(JOB_FAILURES, "timestamps")
                _logger.error("the timestamp job failed and will be tried again", exc_info=error)
            await asyncio.sleep(_TIMESTAMPS_EVERY_S)

    async def _sweep_uploads(self) -> None:
        """Forget uploads that nobody goes on with; at the start, and every ten minutes."""
        age = timedelta(hours=self._core.settings.upload_age_h)
        while True:
            try:
                if swept := await self._uploads.sweep(age):
                    _logger.info("swept uploads that no submission has used", count=swept)
            except Exception as error:
                self._core.meter.count(JOB_FAILURES, "uploads")
                _logger.error("the upload job failed and will be tried again", exc_info=error)
            await asyncio.sleep(_UPLOAD_SWEEP_EVERY_S)

    async def _relay(self, swept: asyncio.Task[None]) -> None:
        """Go on with the axis, once nothing is taken for an orphan that is only being made."""
        await asyncio.wait([swept])
        await self.axis.run()

    async def _erase(self) -> None:
        """Finish erasures that an approval could not; looked for every half minute."""
        while True:
            await asyncio.sleep(_ERASE_EVERY_S if self._member is None else _ERASE_FOR_ALL_EVERY_S)
            try:
                await self._eraser.run()
            except Exception as error:
                self._core.meter.count(JOB_FAILURES, "erasure")
                _logger.error("the erasure job failed and will be tried again", exc_info=error)

    async def _remind(self) -> None:
        """Say which steps for the hub's keys come near; at the start, and every six hours."""
        while True:
            try:
                key_life.remind(self._hub_keys)
            except Exception as error:
                self._core.meter.count(JOB_FAILURES, "reminders")
                _logger.error("the plan for the hub's keys cannot be made", exc_info=error)
            await asyncio.sleep(_REMIND_EVERY_S)

    async def _sweep(self, since: datetime) -> None:
        """Remove content that no event points at, or an erased one; only what is older than us."""
        swept = await self._offload(lambda: sweep(self._core, before=since))
        if swept:
            _logger.info("swept content of submissions that were never recorded", count=swept)


async def _asked(answer: Awaitable[T]) -> T:
    """The answer of storage. A database that is away is nobody's mistake: the caller repeats."""
    try:
        return await answer
    except DatabaseAway as error:
        _logger.error("the database is away", error=str(error))
        raise Unavailable("the hub cannot reach its database; repeat the same call") from error


def working_days(settings: Settings) -> WorkingDays:
    """The calendar before any correction, with the hours of this hub's offices."""
    return WorkingDays(
        vietnamese_working_day,
        ZoneInfo(settings.time_zone),
        settings.work_begin,
        settings.work_end,
    )


def sweep(core: Core, *, before: datetime) -> int:
    """Discard content that no event points at, written before an instant; how much it was.

    And what was erased by law: single files may have been restored by hand.
    """
    limit = int(before.timestamp() * 1000)
    orphans = [
        exchange_id
        for exchange_id in core.content.exchanges()
        if int.from_bytes(exchange_id.bytes[:6], "big") < limit
        and not is_kept(core.log, exchange_id)
    ]
    for exchange_id in orphans:
        core.content.discard(exchange_id)
    return len(orphans)


@asynccontextmanager
async def running_hub(core: Core) -> AsyncIterator[HubProcess]:
    """A hub that listens for as long as the block runs. Raises LedgerMismatch."""
    hub = HubProcess(core)
    try:
        await hub.start()
        yield hub
    finally:
        await hub.stop()


def _refusal_not_recorded(agency: str, error: HubError) -> None:
    _logger.warning("a refusal was not recorded", agency=agency, reason=error.reason)


def _no_timestamp(authority: str, error: Exception) -> None:
    _logger.warning("no timestamp", authority=authority, error=str(error))


def _no_crl(source: str, error: Exception) -> None:
    _logger.warning("no revocation list", source=source, error=str(error))


def _no_answer(responder: str, error: Exception) -> None:
    _logger.warning("no OCSP answer", responder=responder, error=str(error))


def _authorities(folder: DataFolder) -> list[bytes]:
    signing, transport = folder.signing_authorities, folder.transport_authorities
    return sorted({*_certificates(signing), *_certificates(transport)})


def _certificates(path: Path) -> list[bytes]:
    return [
        certificate.public_bytes(Encoding.DER)
        for certificate in x509.load_pem_x509_certificates(path.read_bytes())
    ]
