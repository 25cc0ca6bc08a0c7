"""A hub put together from its parts, over one data folder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar
from zoneinfo import ZoneInfo

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from adapters.calendar import vietnamese_working_day
from adapters.storage.content import ContentStore
from adapters.storage.cosignatures import CosignatureStore
from adapters.storage.document_keys import DocumentKeys
from adapters.storage.engine import Database
from adapters.storage.events import EventRecorder
from adapters.storage.figures import Figures
from adapters.storage.lists import DocumentLists
from adapters.storage.retention import RetentionList
from adapters.storage.tree import TreeStore
from adapters.storage.uploads import UploadStore
from adapters.storage.views import Views
from adapters.system import system_clock, system_randomness
from hub.application.agencies import Agencies
from hub.application.agency_changes import AgencyChanges
from hub.application.audit import OwnReceipts
from hub.application.auditors import Auditors
from hub.application.calendar import Calendar
from hub.application.case_reading import CaseReading
from hub.application.certificates import Suitability
from hub.application.directory import Directory
from hub.application.erasure import Eraser, Orders
from hub.application.exchanges import Exchanges, is_kept
from hub.application.expiry import expire_overdue
from hub.application.facts import Facts
from hub.application.listing import Listing
from hub.application.mapper import ClosedMapper
from hub.application.operators import Operators
from hub.application.refusals import RefusalRecorder
from hub.application.replay import Replay
from hub.application.retention import Retention
from hub.application.statistics import Counting
from hub.application.timestamp_book import TimestampBook
from hub.application.timestamping import Timestamping
from hub.application.timestamps import Timestamps
from hub.application.uploads import Uploads
from hub.application.vault import Vault
from hub.bootstrap.folder import DataFolder
from hub.bootstrap.presence import require_content, require_document_keys
from hub.bootstrap.timestamps import authorities_to_ask, schedule_of
from hub.bootstrap.upgrade import database_url, require_schema
from hub.bootstrap.witnesses import WitnessJob
from hub.config import Settings
from hub.domain.working_days import WorkingDays
from hub.errors import HubError
from hub.ledger.batch import BatchEngine
from hub.ledger.fair_queue import Limits
from hub.ledger.receipts import ReceiptBook
from hub.ledger.sequencer import Sequencer
from hub.ledger.writer import WritingLane
from hub.projections.deliveries import DeliveryProjection
from hub.server.audit_service import AuditServicer
from hub.server.directory_service import DirectoryServicer
from hub.server.exchange_service import ExchangeServicer
from hub.server.identity import Identities
from hub.server.interceptors import CallInterceptor
from hub.server.ledger_service import LedgerServicer
from hub.server.log_files import LogFiles, Tls, bind, serving
from hub.server.registry_service import RegistryServicer
from hub.server.server import HubServer, ServerIdentity
from hub.server.watchers import Watchers
from keys.checkpoint_signer import CheckpointSigner
from keys.custody import ContentCustody
from keys.file import load_ed25519_key
from keys.last_signed import LastSigned

T = TypeVar("T")

_logger = structlog.get_logger("hub")
_READINESS_EVERY_S = 2.0
_EXPIRY_EVERY_S = 30.0
# For the log as files: what is asked for there never takes a thread from the agencies.
_FILE_READERS = 2
_TIMESTAMPS_EVERY_S = 5.0
_UPLOAD_SWEEP_EVERY_S = 600.0
_ERASE_EVERY_S = 30.0
# Each writes and syncs a part of 1 MiB at a time; they must not keep readers waiting.
_UPLOAD_THREADS = 4


@dataclass(frozen=True, slots=True)
class Core:
    """Everything of a hub but its network: what `serve`, `fsck` and `init` share."""

    folder: DataFolder
    settings: Settings
    log: EventRecorder
    store: TreeStore
    cosignatures: CosignatureStore
    views: Views
    lists: DocumentLists
    figures: Figures
    retention: RetentionList
    content: ContentStore
    uploads: UploadStore
    vault: Vault
    signer: CheckpointSigner
    receipts: ReceiptBook
    projection: DeliveryProjection
    engine: BatchEngine
    on_published: list[Callable[[], None]]


@contextmanager
def open_core(folder: DataFolder, settings: Settings) -> Iterator[Core]:
    """Open the stores of a hub, alone; nothing is checked or changed yet.

    Raises FolderBusy, ConfigInvalid, StoreMissing, KeyFileError, SignerStoreError.
    """
    with folder.lock():
        url = database_url(folder, settings)
        require_schema(url, folder.root)
        require_document_keys(folder)
        database, key_database = Database(url), Database(f"sqlite:///{folder.document_keys}")
        last_signed = LastSigned.open(folder.last_signed)
        try:
            yield _core(folder, settings, database, key_database, last_signed)
        finally:
            last_signed.close()
            key_database.close()
            database.close()


def _core(
    folder: DataFolder,
    settings: Settings,
    database: Database,
    key_database: Database,
    last_signed: LastSigned,
) -> Core:
    log, store, views = EventRecorder(database), TreeStore(database), Views(database)
    custody = ContentCustody.open(folder.content_key)
    vault = Vault(DocumentKeys(key_database), custody, system_randomness)
    signer = CheckpointSigner(settings.origin, load_ed25519_key(folder.log_key), last_signed)
    cosignatures = CosignatureStore(database)
    receipts = ReceiptBook(log, store, cosignatures)
    on_published: list[Callable[[], None]] = []
    sequencer = Sequencer(
        origin=settings.origin,
        log=log,
        store=store,
        signer=signer,
        verifier_key=signer.verifier_key,
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
    )
    projection = DeliveryProjection(log, vault, views)
    on_published.append(lambda: projection.catch_up(receipts.size))
    content = ContentStore(folder.content, system_randomness)
    return Core(
        folder=folder,
        settings=settings,
        log=log,
        store=store,
        cosignatures=cosignatures,
        views=views,
        lists=DocumentLists(database),
        figures=Figures(database),
        retention=RetentionList(database),
        content=content,
        uploads=UploadStore(folder.content, content, system_randomness),
        vault=vault,
        signer=signer,
        receipts=receipts,
        projection=projection,
        engine=engine,
        on_published=on_published,
    )


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
        )
        self._eraser = Eraser(
            log=core.log,
            vault=core.vault,
            content=core.content,
            uploads=self._uploads,
            views=core.views,
            receipts=core.receipts,
            offload=self._offload,
        )
        self._watchers = Watchers(loop)
        settings = core.settings
        self._lane = WritingLane(
            core.engine,
            batch_max=settings.batch_max,
            limits=Limits(
                total=settings.queue_max,
                per_caller=settings.queue_per_agency,
                rate_per_s=settings.rate_per_agency,
                burst=settings.burst_per_agency,
            ),
        )
        self.witnesses = WitnessJob(core, self._lane, self._offload)
        self._jobs: list[asyncio.Task[None]] = []
        core.on_published.append(self._watchers.published)
        self._book = TimestampBook(core.log, core.store, core.receipts)
        self._timestamping = self._timestamp_job()
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
        started, core = system_clock(), self._core
        await self._offload(core.engine.load)
        await self._offload(lambda: require_content(core.folder, core.content, core.log))
        # Before anything is swept: what a crash left under an exchange that was never recorded
        # is somebody's upload.
        await self._uploads.recover()
        # Whatever a backup brought back: nobody is served while something erased is here.
        if erased := await self._eraser.run():
            _logger.info("erased again what was erased before", count=erased)
        self._lane.start()
        await self.server.start()
        await self._serve_log_files()
        await self._tell_readiness()
        self._jobs = [
            asyncio.create_task(self._watch_readiness(), name="readiness"),
            asyncio.create_task(self._sweep(started), name="sweep"),
            asyncio.create_task(self._expire(), name="expiry"),
            asyncio.create_task(self._stamp(), name="timestamps"),
            asyncio.create_task(self._sweep_uploads(), name="uploads"),
            asyncio.create_task(self._erase(), name="erasure"),
            asyncio.create_task(self.witnesses.run(), name="witnesses"),
        ]

    async def stop(self) -> None:
        """Drain: no new calls, running ones finish, what waits is committed."""
        for job in self._jobs:
            job.cancel()
            with suppress(asyncio.CancelledError):
                await job
        await self._log_files.aclose()
        await self.server.stop()
        await self._lane.stop()
        self._upload_threads.shutdown()
        self._readers.shutdown()
        self._file_readers.shutdown()

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
            private_key=core.folder.server_key,
            client_authorities=core.folder.transport_authorities,
        )
        await self._log_files.enter_async_context(serving(files, tls, listener))
        self.http_port = listener.getsockname()[1]
        _logger.info("the log is served as files", port=self.http_port)

    async def _offload(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._readers, work)

    async def _offload_upload(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._upload_threads, work)

    def _server(self) -> HubServer:
        core = self._core
        registry = lambda: core.engine.registry  # noqa: E731
        exchanges = Exchanges(
            origin=core.settings.origin,
            log=core.log,
            lane=self._lane,
            receipts=core.receipts,
            registry=registry,
            views=core.views,
            content=core.content,
            uploads=self._uploads,
            vault=core.vault,
            refusals=RefusalRecorder(self._lane, system_clock, _refusal_not_recorded),
            offload=self._offload,
            clock=system_clock,
            randomness=system_randomness,
        )
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
        )
        agencies = Agencies(lane=self._lane, registry=registry, suitability=suitability)
        directory = Directory(self._lane, registry)
        return HubServer(
            listen=core.settings.listen,
            identity=ServerIdentity(
                certificate=core.folder.server_certificate,
                private_key=core.folder.server_key,
                client_authorities=core.folder.transport_authorities,
            ),
            interceptor=CallInterceptor(Identities(registry)),
            exchange=ExchangeServicer(
                exchanges, facts, self._uploads, self._watchers, self._listing()
            ),
            ledger=LedgerServicer(
                OwnReceipts(core.receipts, self._offload, registry),
                Timestamps(self._book, self._timestamping, self._offload),
            ),
            registry=RegistryServicer(
                agencies,
                AgencyChanges(self._lane),
                directory,
                Calendar(lane=self._lane, registry=registry),
                Auditors(self._lane, suitability),
                operators=Operators(self._lane, registry, suitability),
                orders=self._orders(),
                retention=Retention(
                    years=core.settings.retention,
                    lists=core.retention,
                    offload=self._offload,
                    clock=system_clock,
                ),
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
                lane=self._lane,
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
                clock=system_clock,
            ),
        )

    def _orders(self) -> Orders:
        core = self._core
        return Orders(
            origin=core.settings.origin,
            log=core.log,
            lane=self._lane,
            receipts=core.receipts,
            registry=lambda: core.engine.registry,
            vault=core.vault,
            views=core.views,
            eraser=self._eraser,
            offload=self._offload,
            clock=system_clock,
        )

    def _listing(self) -> Listing:
        core = self._core
        return Listing(
            lists=core.lists,
            registry=lambda: core.engine.registry,
            calendar=working_days(core.settings),
            offload=self._offload,
            clock=system_clock,
        )

    async def _watch_readiness(self) -> None:
        while True:
            await asyncio.sleep(_READINESS_EVERY_S)
            await self._tell_readiness()

    async def _tell_readiness(self) -> None:
        try:
            ready = await self._offload(self._is_ready)
        except Exception as error:
            _logger.error("readiness check failed", exc_info=error)
            ready = False
        await self.server.ready(ready)

    def _is_ready(self) -> bool:
        core = self._core
        return (
            core.engine.frozen is None
            and not core.engine.behind
            and core.content.is_usable()
            and core.uploads.is_usable()
            and core.views.position() >= core.receipts.size
        )

    async def _expire(self) -> None:
        """Record what was not collected in time; looked for every half minute."""
        while True:
            try:
                await expire_overdue(self._core.views, self._lane, self._offload, at=system_clock())
            except Exception as error:
                _logger.error("the expiry job failed and will be tried again", exc_info=error)
            await asyncio.sleep(_EXPIRY_EVERY_S)

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

    async def _stamp(self) -> None:
        """Ask the time-stamping authorities, each at its time; nobody ever waits for this."""
        while True:
            try:
                await self._timestamping.round()
            except Exception as error:
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
                _logger.error("the upload job failed and will be tried again", exc_info=error)
            await asyncio.sleep(_UPLOAD_SWEEP_EVERY_S)

    async def _erase(self) -> None:
        """Finish erasures that an approval could not; looked for every half minute."""
        while True:
            await asyncio.sleep(_ERASE_EVERY_S)
            try:
                await self._eraser.run()
            except Exception as error:
                _logger.error("the erasure job failed and will be tried again", exc_info=error)

    async def _sweep(self, started: datetime) -> None:
        """Remove content that no event points at, or an erased one; only what is older than us."""
        swept = await self._offload(lambda: sweep(self._core, before=started))
        if swept:
            _logger.info("swept content of submissions that were never recorded", count=swept)


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


def _certificates(path: Path) -> list[bytes]:
    return [
        certificate.public_bytes(Encoding.DER)
        for certificate in x509.load_pem_x509_certificates(path.read_bytes())
    ]
