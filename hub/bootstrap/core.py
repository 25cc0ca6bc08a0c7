"""The stores and the engine of a hub, opened over one data folder; nothing serves yet."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from adapters.storage.cosignatures import CosignatureStore
from adapters.storage.document_keys import KEYS_CACHE_KIB, DocumentKeys
from adapters.storage.engine import Database
from adapters.storage.events import EventRecorder
from adapters.storage.figures import Figures
from adapters.storage.leadership import Leadership, Undisputed
from adapters.storage.lists import DocumentLists
from adapters.storage.relays import RelayList
from adapters.storage.retention import RetentionList
from adapters.storage.tree import TreeStore
from adapters.storage.verified import VerifiedFile
from adapters.storage.views import Views
from adapters.system import system_clock, system_randomness
from hub.application.mapper import ClosedMapper
from hub.application.measuring import Meter
from hub.application.ports import (
    Clock,
    ContentStore,
    KeyCustody,
    Lease,
    Signer,
    UploadStore,
)
from hub.application.registry import Registry
from hub.application.vault import Vault
from hub.bootstrap import key_life
from hub.bootstrap.content import Contents, open_content
from hub.bootstrap.custody import Custodian, custodian_of
from hub.bootstrap.folder import DataFolder
from hub.bootstrap.joining import Company, in_company
from hub.bootstrap.keys import Keys, open_keys
from hub.bootstrap.leading import alone_with
from hub.bootstrap.operating import meter_of
from hub.bootstrap.presence import require_document_keys
from hub.bootstrap.upgrade import database_url, document_keys_url, require_schema
from hub.config import Settings
from hub.ledger.batch import BatchEngine
from hub.ledger.following import Following
from hub.ledger.known import KnownGood
from hub.ledger.receipts import ReceiptBook
from hub.ledger.sequencer import Sequencer
from hub.ledger.steps import Stepping
from hub.projections.deliveries import DeliveryProjection


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
    lease: Lease
    company: Company | None
    custody: KeyCustody
    following: Following | None
    meter: Meter
    clock: Clock
    on_published: list[Callable[[], None]]
    on_followed: list[Callable[[], None]]

    def registry(self) -> Registry:
        """Who may do what, as of the newest event."""
        return self.engine.registry

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
            closing(Database(keys_url, writer_cache_kib=KEYS_CACHE_KIB)) as key_database,
            ExitStack() as stack,
        ):
            company = None
            if together:
                company = stack.enter_context(in_company(database, folder, settings))
                held: Company | Leadership | Undisputed = company
            else:
                held = stack.enter_context(alone_with(database, folder, standby=standby))
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
                held=held,
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
    held: Company | Leadership | Undisputed,
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
        published=lambda: call_all(on_published),
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
        deposed=held.lost,
        lease=held,
        company=company,
        custody=keys.custody,
        following=following,
        meter=meter,
        clock=system_clock,
        on_published=on_published,
        on_followed=[],
    )
    key_life.follow_the_log(core)
    return core


def call_all(listeners: list[Callable[[], None]]) -> None:
    """Call each, whatever became of the others; then raise what went wrong first."""
    failures: list[Exception] = []
    for listener in listeners:
        try:
            listener()
        except Exception as error:
            failures.append(error)
    if failures:
        raise failures[0]
