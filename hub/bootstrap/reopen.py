"""`lienthong ledger reopen`: a log that cannot go on goes on under a new origin and key.

First a plan is made, which anybody may repeat: the database is filled up, the new key made.
Then two operators sign it, wherever they keep their keys. Then it is carried out, once.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from adapters.storage.document_keys import DocumentKeys
from adapters.storage.engine import Database
from adapters.storage.events import EventRecorder
from adapters.storage.migrate import migrate
from adapters.storage.tree import TreeStore
from adapters.system import system_clock, system_randomness
from hub.application.key_ring import KeyRing
from hub.application.reopening import Authorised, ReopenLog, authorise
from hub.application.vault import Vault
from hub.bootstrap.core import Core, open_core
from hub.bootstrap.folder import DataFolder
from hub.bootstrap.leading import alone_with
from hub.bootstrap.presence import require_document_keys
from hub.bootstrap.restore import KeptFolder, authorities_of
from hub.bootstrap.trust import held_root, put_next
from hub.bootstrap.upgrade import (
    database_is_missing,
    database_url,
    document_keys_url,
    require_schema,
)
from hub.config import ConfigInvalid, Settings
from hub.domain.log import Log
from hub.errors import LedgerMismatch, Procedure
from hub.ledger.batch import load_registry
from hub.ledger.reopening import survey
from hub.ledger.restore import Progress, take_back
from hub.proof.checkpoint import Checkpoint
from hub.proof.dsse import SignedStatement
from hub.proof.note import KeyType, VerifierKey
from hub.proof.reopening import Reopening, read_reopen_order
from hub.proof.tiles import Read, open_log
from hub.proof.tree import Tree
from hub.proof.trust import Closing, LogKey, TrustedLog, TrustedRoot
from keys.custody import ContentCustody
from keys.file import create_file, create_private_key, load_ed25519_key, sync_folder
from keys.last_signed import LastSigned, Signed, SignerStoreError

_ORIGIN_LINE = re.compile(r'^origin\s*=\s*"[^"\n]*"', re.MULTILINE)
_PUBLIC = 0o644


@dataclass(frozen=True, slots=True)
class Unsigned:
    """The stores of a hub whose signer cannot be used."""

    log: EventRecorder
    store: TreeStore
    vault: Vault


@contextmanager
def open_unsigned(folder: DataFolder, settings: Settings) -> Iterator[Unsigned]:
    """A hub's stores without its signer, alone; a new database where there is none.

    Raises FolderBusy, ConfigInvalid, StoreMissing, KeyFileError.
    """
    url = database_url(folder, settings)
    with folder.lock():
        if database_is_missing(url):
            migrate(url)
        require_schema(url, folder.root)
        keys_url = document_keys_url(folder, settings)
        require_document_keys(keys_url)
        with (
            closing(Database(url)) as database,
            closing(Database(keys_url)) as keys,
            alone_with(database, folder),
        ):
            custody = ContentCustody.open(folder.content_key)
            vault = Vault(DocumentKeys(keys), custody, system_randomness)
            yield Unsigned(EventRecorder(database), TreeStore(database), vault)


def plan_reopening(
    folder: DataFolder,
    settings: Settings,
    *,
    origin: str,
    reason: str,
    basis: str,
    export: Read | None = None,
    kept: Path | None = None,
    progress: Progress = lambda done, total: None,
) -> Reopening:
    """Fill the database up from what others kept, make the new key, and say what to sign.

    The old log stays as it is: nothing is signed, and the same again gives the same plan.
    Raises ConfigInvalid for an origin that is in use, LedgerMismatch for two histories.
    """
    trust = _old_trust(folder, settings)
    if origin == settings.origin or trust.lists(origin):
        raise ConfigInvalid(f"{origin} has been a log's origin already; choose a new one")
    log_key = _new_key(folder, origin)
    with open_unsigned(folder, settings) as stores:
        evidence = KeptFolder.of(kept, authorities_of(folder)) if kept else None
        found = survey(
            stores.log,
            stores.store,
            origin=settings.origin,
            trust=trust,
            export=open_log(export, trust) if export else None,
            receipts=evidence.receipts() if evidence else (),
            remembered=_remembered(folder, settings),
            progress=progress,
        )
        if evidence:
            take_back(stores.log, stores.vault, evidence, progress=progress)
    return Reopening(
        origin=origin,
        log_key=log_key.format(),
        kept=found.kept,
        last=found.last.checkpoint,
        note=found.last.note.decode(),
        reason=reason,
        basis=basis,
    )


def reopen_hub(
    folder: DataFolder, settings: Settings, ordered: SignedStatement, approved: SignedStatement
) -> Authorised:
    """Go on under the new origin and key, as two operators have signed.

    1. Both have signed it, by the register of the log, and the log is the one they mean. 2.
    The new signer remembers the kept tree as signed, so that it signs nothing else. 3. It
    takes the old one's place, which is put aside. 4. The settings name the new origin. 5. The
    old log's checkpoints are put away. 6. The kept tree is signed and published, then the
    facts of the reopening. 7. The trusted root gets its next edition.

    If we stop anywhere, no hub starts, under the old origin or the new, and the same again
    goes on. Raises VerificationFailed, HubError, LedgerMismatch, ConfigInvalid.
    """
    order = read_reopen_order(ordered)
    plan = order.reopening
    # (1) By the register as the kept events have it.
    with open_unsigned(folder, settings) as stores:
        both = authorise(ordered, approved, load_registry(stores.log), system_clock())
        _require_planned(stores, plan)
        old_keys = _old_keys(stores.log, plan)
    # (2) It will sign only what extends the kept tree. If we stop here, nothing has changed.
    _prepare_signer(folder, plan)
    # (3) From here to the end of (5) the signer and what is published are of two logs, and
    # the hub refuses to start.
    _exchange_signers(folder, plan)
    # (4) One line of the settings.
    settings = _change_origin(folder, settings, plan)
    # (5) and (6)
    with open_core(folder, settings) as core:
        _publish_kept(core, plan)
        core.engine.load()
        if not _is_recorded(core, plan):
            (outcome,) = core.engine.process([ReopenLog(both, old_keys, core.vault)])
            if isinstance(outcome, Exception):
                raise outcome
    # (7) For verifiers; they get it by a way of its own.
    _publish_trust(folder, plan)
    return both


def _old_trust(folder: DataFolder, settings: Settings) -> TrustedRoot:
    root = held_root(folder)
    if not root.lists(settings.origin):
        raise ConfigInvalid(f"{folder.trusted_root} does not list {settings.origin}")
    return root


def _new_signer(folder: DataFolder) -> Path:
    return folder.log_key.parent.with_name("signer.new")


def _new_key(folder: DataFolder, origin: str) -> VerifierKey:
    """The key that waits for the reopening, made the first time."""
    place = _new_signer(folder)
    path = place / folder.log_key.name
    if not path.exists():
        place.mkdir(mode=0o700, exist_ok=True)
        create_private_key(path, Ed25519PrivateKey.generate())
        sync_folder(place.parent)
    return _verifier_key(path, origin)


def _verifier_key(path: Path, origin: str) -> VerifierKey:
    public_key = load_ed25519_key(path).public_key().public_bytes_raw()
    return VerifierKey(origin, KeyType.ED25519, public_key)


def _remembered(folder: DataFolder, settings: Settings) -> Checkpoint | None:
    """What the old signer signed last, where its memory can still be read."""
    try:
        with closing(LastSigned.open_to_read(folder.last_signed)) as memory:
            last = memory.read()
    except SignerStoreError:
        return None
    if last is None or last.origin != settings.origin:
        return None
    return Checkpoint(last.origin, last.size, last.root)


def _require_planned(stores: Unsigned, plan: Reopening) -> None:
    log, kept = stores.log, plan.kept
    head = log.head().next_position
    if head > kept.size and _topic(log, kept.size) != Log.LogReopened.TOPIC:
        raise LedgerMismatch(
            f"the log has {head} events, the order keeps {kept.size}: plan and sign it anew",
            position=kept.size,
            procedure=Procedure.REOPEN,
        )
    tree = Tree(stores.store.tile)
    if head < kept.size or tree.root(kept.size) != kept.root:
        raise LedgerMismatch(
            f"the events do not hash to the root that the order keeps at size {kept.size}",
            procedure=Procedure.REOPEN,
        )


def _topic(log: EventRecorder, position: int) -> str:
    return log.entries(position, 1)[0].topic


def _old_keys(log: EventRecorder, plan: Reopening) -> list[UUID]:
    """The keys of the old log that have not ended, as far as their announcements are there."""
    ring = KeyRing.of(log.registry_entries())
    return [entry.key_id for entry in ring.of_log(plan.old_origin) if not entry.state.is_end]


def _prepare_signer(folder: DataFolder, plan: Reopening) -> None:
    place = _new_signer(folder)
    if not place.exists():
        return  # It has taken its place already.
    if _verifier_key(place / folder.log_key.name, plan.origin).format() != plan.log_key:
        raise ConfigInvalid(f"the key in {place} is not the one that was signed for")
    memory = place / folder.last_signed.name
    # A memory that a crash left half made is nobody's yet.
    memory.unlink(missing_ok=True)
    with closing(LastSigned.create(memory)) as created:
        created.advance(None, Signed(plan.origin, plan.kept.size, plan.kept.root))


def _exchange_signers(folder: DataFolder, plan: Reopening) -> None:
    ours, place = folder.log_key.parent, _new_signer(folder)
    if place.exists():
        if ours.exists():
            ours.rename(_aside(folder, plan))
        place.rename(ours)
        sync_folder(ours.parent)
    if _verifier_key(folder.log_key, plan.origin).format() != plan.log_key:
        raise ConfigInvalid(f"the key in {ours} is not the one that was signed for")


def _aside(folder: DataFolder, plan: Reopening) -> Path:
    return folder.log_key.parent.with_name(f"signer.ended-at-{plan.last.size}")


def _change_origin(folder: DataFolder, settings: Settings, plan: Reopening) -> Settings:
    if settings.origin == plan.origin:
        return settings
    text = folder.settings.read_text(encoding="utf-8")
    changed, count = _ORIGIN_LINE.subn(f'origin = "{plan.origin}"', text)
    if count != 1:
        raise ConfigInvalid(f'{folder.settings} must have one line `origin = "…"`')
    _replace(folder.settings, changed.encode())
    return Settings.load(folder.root)


def _publish_kept(core: Core, plan: Reopening) -> None:
    newest = core.store.latest_checkpoint()
    if newest is not None and newest[1].startswith(f"{plan.old_origin}\n".encode()):
        core.store.close(plan.old_origin)
        newest = None
    if newest is None:
        note = core.signer.sign(plan.kept.size, plan.kept.root, ())
        core.store.publish({}, plan.kept.size, note)


def _is_recorded(core: Core, plan: Reopening) -> bool:
    found = core.log.entries(plan.kept.size, 1)
    return bool(found) and found[0].topic == Log.LogReopened.TOPIC


def _publish_trust(folder: DataFolder, plan: Reopening) -> Path:
    root = held_root(folder)
    if root.lists(plan.origin):
        return folder.trusted_root
    closing = Closing(plan.last.size, plan.last.root)
    logs = [
        replace(log, keys=tuple(_closed(key, closing) for key in log.keys))
        if log.origin == plan.old_origin
        else log
        for log in root.logs
    ]
    new = TrustedLog(plan.origin, (LogKey(VerifierKey.parse(plan.log_key), plan.kept.size),))
    edition = replace(root, version=root.version + 1, logs=(*logs, new))
    return put_next(folder, edition)


def _closed(key: LogKey, closing: Closing) -> LogKey:
    return key if key.closed is not None else replace(key, closed=closing)


def _replace(path: Path, data: bytes) -> None:
    # Beside it, synced, then into its place: never half a file under the known name.
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    create_file(fresh, data, mode=_PUBLIC)
    os.replace(fresh, path)
    sync_folder(path.parent)
