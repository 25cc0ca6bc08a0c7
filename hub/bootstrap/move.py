"""`lienthong migrate --to`: a stopped hub's log in another database, proven to be the same."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from adapters.storage.engine import Database
from adapters.storage.events import EventRecorder
from adapters.storage.migrate import migrate
from adapters.storage.move import copy_head, copy_log, is_begun, require_same
from adapters.storage.tree import TreeStore
from hub.bootstrap.folder import DataFolder
from hub.bootstrap.leading import alone_with
from hub.bootstrap.upgrade import database_is_missing, database_url, require_schema
from hub.config import ConfigInvalid, Settings
from hub.errors import LedgerMismatch, VerificationFailed
from hub.ledger.sequencer import check_events
from hub.proof.tree import Tree
from hub.proof.trust import parse_trusted_root

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Moved:
    """A log that lies in two databases now: its size and root, and the rows just written."""

    size: int
    root: bytes
    rows: int


def move_hub(
    folder: DataFolder,
    settings: Settings,
    *,
    source: str,
    target: str,
    copying: Progress = lambda done, total: None,
    comparing: Progress = lambda done, total: None,
) -> Moved:
    """Copy a stopped hub's log into another database; the old one stays as it is.

    1. The schema, where the target has none. 2. All rows but the head, in their order. 3. All of
    them are compared. 4. The events that were copied hash to the copied tree, and that to a root
    signed by a key of the trusted root. 5. The head. If we stop before 5, no hub starts on the
    target, and the same again goes on. Lists are made anew by the next start.

    `source` is the database of the settings if empty. Raises FolderBusy, ConfigInvalid,
    DatabaseUnreachable, OSError, and LedgerMismatch.
    """
    with folder.lock():
        source = source or database_url(folder, settings)
        require_schema(source, folder.root)
        if database_is_missing(target):
            migrate(target)
        require_schema(target, folder.root)
        with (
            closing(Database(source)) as old,
            closing(Database(target)) as new,
            alone_with(old, folder),
            alone_with(new, folder),
        ):
            if is_begun(new):
                raise ConfigInvalid("the new database holds a log already; name an empty one")
            rows = copy_log(old, new, copying)
            require_same(old, new, comparing)
            size, root = _proven(folder, new)
            copy_head(old, new)
    return Moved(size, root, rows)


def _proven(folder: DataFolder, database: Database) -> tuple[int, bytes]:
    """Size and root of the newest checkpoint, which the events in a database hash to."""
    log, store = EventRecorder(database), TreeStore(database)
    size, note = store.latest_checkpoint() or (0, b"")
    try:
        trust = parse_trusted_root(folder.trusted_root.read_bytes())
        signed = trust.open_checkpoint(note).checkpoint
    except VerificationFailed as error:
        raise LedgerMismatch(f"the newest checkpoint is not signed by the log: {error}") from error
    check_events(log, store, size)
    if (signed.size, signed.root) != (size, Tree(store.tile).root(size)):
        raise LedgerMismatch("the events do not hash to the root of the newest checkpoint")
    return size, signed.root
