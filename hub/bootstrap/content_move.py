"""`lienthong migrate --content-from`: a hub's attachments, from a folder into its bucket."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from adapters.storage.content import ContentStore as FolderContentStore
from adapters.storage.engine import Database
from adapters.storage.events import EventRecorder
from adapters.storage.object_content import ObjectContentStore
from adapters.storage.uploads import is_root
from adapters.system import system_randomness
from hub.application.exchanges import is_kept
from hub.bootstrap.content import name_of, open_content
from hub.bootstrap.folder import DataFolder, StoreMissing
from hub.bootstrap.leading import alone_with
from hub.bootstrap.upgrade import database_url, require_schema
from hub.config import ConfigInvalid, Settings

Progress = Callable[[int], None]


def move_content(
    folder: DataFolder, settings: Settings, source: Path, progress: Progress = lambda _: None
) -> int:
    """Copy every attachment that an event names; how many were not there yet. The old stay.

    1. Attachments, each whole or not at all. 2. The mark of erasures, which holds for what was
    copied. 3. Whose content it is: if we stop before, no hub starts on the bucket, and the same
    again goes on. Raises FolderBusy, ConfigInvalid, StoreMissing, DatabaseUnreachable,
    ContentUnreachable, ContentUnfit, OSError.
    """
    with folder.lock():
        if not is_root(source):
            raise StoreMissing(f"{source} is no folder of attachments")
        url = database_url(folder, settings)
        require_schema(url, folder.root)
        with (
            closing(Database(url)) as database,
            alone_with(database, folder, standby=False),
            open_content(folder, settings) as contents,
        ):
            if not isinstance(contents.store, ObjectContentStore):
                raise ConfigInvalid("content_url names no bucket to move to")
            return _copy(EventRecorder(database), source, contents.store, progress)


def _copy(log: EventRecorder, source: Path, target: ObjectContentStore, progress: Progress) -> int:
    target.require_forgetful()
    ours, files = name_of(log), FolderContentStore(source, system_randomness)
    if target.belongs_to() not in (None, ours):
        raise StoreMissing(f"the content in {target} belongs to another log")
    copied = 0
    for exchange_id in files.exchanges():
        # What was never recorded, or erased by law, stays behind.
        if not is_kept(log, exchange_id):
            continue
        for index, attachment in files.attachments(exchange_id):
            if not target.has(exchange_id, index):
                target.take_over(attachment, exchange_id, index)
                copied += 1
                progress(copied)
    target.erase([], files.erased_below())
    target.begin(ours)
    return copied
