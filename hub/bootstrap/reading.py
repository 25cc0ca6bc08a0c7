"""A hub's stores opened for reading only, beside the hub that may be serving from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

from adapters.storage.cosignatures import CosignatureStore
from adapters.storage.document_keys import DocumentKeys
from adapters.storage.engine import Database
from adapters.storage.events import EventRecorder
from adapters.storage.migrate import is_current
from adapters.storage.read_only import ReadOnlyDatabase, Snapshot
from adapters.storage.tree import TreeStore
from adapters.storage.views import Views
from adapters.system import system_randomness
from hub.application.ports import ContentStore, SignedTree
from hub.application.vault import Vault
from hub.bootstrap.content import open_content
from hub.bootstrap.custody import Custodian, custodian_of
from hub.bootstrap.folder import DataFolder, FolderBusy
from hub.bootstrap.presence import require_document_keys
from hub.bootstrap.signer import remote_signer
from hub.bootstrap.upgrade import database_url, document_keys_url, require_database, schema_differs
from hub.config import Settings
from hub.proof.note import KeyType, VerifierKey
from keys.last_signed import LastSigned

# The signer's memory and the database are read between two batches: the moment is short, and
# a busy hub leaves many of them.
_MOMENTS_MAX = 1000


@dataclass(frozen=True, slots=True)
class Remembered:
    """What the signer had signed last at the moment of a snapshot, and the key it signs with."""

    last: SignedTree | None
    keys: Sequence[VerifierKey]


@dataclass(frozen=True, slots=True)
class Stores:
    """Everything a check reads, all of one moment; attachments never change."""

    settings: Settings
    log: EventRecorder
    store: TreeStore
    cosignatures: CosignatureStore
    views: Views
    content: ContentStore
    vault: Vault
    signer: Remembered


@contextmanager
def open_log(folder: DataFolder, settings: Settings) -> Iterator[tuple[EventRecorder, TreeStore]]:
    """Events and tree as they grow. Needs no key and no lock, and writes nothing.

    Raises ConfigInvalid for a database that is missing or of another schema.
    """
    with closing(ReadOnlyDatabase(_url(folder, settings))) as database:
        _require_schema(database, folder)
        yield EventRecorder(database), TreeStore(database)


@contextmanager
def open_stores(
    folder: DataFolder, settings: Settings, custodian: Custodian | None = None
) -> Iterator[Stores]:
    """All stores as they are now; needs no lock, and writes nothing.

    Raises ConfigInvalid, StoreMissing, SignerStoreError, FolderBusy, and what the custodian does.
    """
    custodian = custodian or custodian_of(folder, settings)
    keys_url = document_keys_url(folder, settings)
    require_document_keys(keys_url)
    with (
        closing(custodian),
        open_content(folder, settings) as contents,
        _signer(folder, settings, custodian) as (read, keys_held),
        _quiet_moment(folder, settings, read) as (database, last),
        # A key is stored before what it opens is committed: newer ones do no harm.
        closing(ReadOnlyDatabase(keys_url)) as keys,
    ):
        custody = custodian.content(folder.content_key)
        yield Stores(
            settings=settings,
            log=EventRecorder(database),
            store=TreeStore(database),
            cosignatures=CosignatureStore(database),
            views=Views(database),
            content=contents.store,
            vault=Vault(DocumentKeys(keys), custody, system_randomness),
            signer=Remembered(last, keys_held()),
        )


@contextmanager
def _quiet_moment(
    folder: DataFolder, settings: Settings, read: Callable[[], SignedTree | None]
) -> Iterator[tuple[Snapshot, SignedTree | None]]:
    """A snapshot between two signatures, and what had been signed by then.

    Without this, a signature made while the two are read would look like a lost one.
    """
    for _ in range(_MOMENTS_MAX):
        before = read()
        with closing(Snapshot(_url(folder, settings))) as database:
            if read() == before:
                _require_schema(database, folder)
                yield database, before
                return
    raise FolderBusy(f"the hub in {folder.root} signs without a pause; stop it first")


def _url(folder: DataFolder, settings: Settings) -> str:
    url = database_url(folder, settings)
    require_database(url)
    return url


def _require_schema(database: Database, folder: DataFolder) -> None:
    if not is_current(database):
        raise schema_differs(folder.root)


@contextmanager
def _signer(
    folder: DataFolder, settings: Settings, custodian: Custodian
) -> Iterator[tuple[Callable[[], SignedTree | None], Callable[[], Sequence[VerifierKey]]]]:
    """How the signer's memory is read, and its keys, wherever it runs."""
    if remote := remote_signer(folder, settings, custodian):
        yield (lambda: remote.last), (lambda: remote.keys)
        return
    with closing(LastSigned.open_to_read(folder.last_signed)) as memory:
        yield memory.read, lambda: _keys(folder, settings, custodian)


def _keys(folder: DataFolder, settings: Settings, custodian: Custodian) -> tuple[VerifierKey, ...]:
    held = custodian.log_keys(folder.log_key.parent).all()
    return tuple(
        VerifierKey(settings.origin, KeyType.ED25519, key.public_key().public_bytes_raw())
        for key in held
    )
