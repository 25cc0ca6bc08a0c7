"""Stores that a hub once had and must not begin anew, because a disk may not be mounted."""

from __future__ import annotations

from adapters.storage.content import ContentStore
from adapters.storage.document_keys import document_keys_missing
from adapters.storage.engine import Database
from adapters.storage.events import EventRecorder
from adapters.storage.uploads import is_root, make_root
from hub.application.mapper import read_leaf
from hub.bootstrap.folder import DataFolder, StoreMissing
from hub.domain.exchange import OPENING_TOPICS

_PAGE = 1000


def require_document_keys(url: str) -> None:
    """Refuse a hub without its document keys: new ones would be lost with the next restore.

    Raises StoreMissing.
    """
    if document_keys_missing(url):
        database = Database(url)
        where = "the database on the server" if database.is_server else str(database.path)
        raise StoreMissing(f"the keys of documents, {where}, are missing")


def require_content(folder: DataFolder, content: ContentStore, log: EventRecorder) -> None:
    """Refuse a content folder that is not there, or not ours, while events name content.

    A folder that an older version made is given what it lacks. Raises StoreMissing.
    """
    if is_root(folder.content):
        return
    is_ours = folder.content.is_dir() and any(True for _ in content.exchanges())
    if not is_ours and _names_content(log):
        raise StoreMissing(
            f"documents in the log have attachments, but nothing of them is in {folder.content}"
        )
    make_root(folder.content)


def _names_content(log: EventRecorder) -> bool:
    start = 1
    topics = sorted(OPENING_TOPICS)
    while page := log.select_notifications(start, _PAGE, topics=topics):
        if any(read_leaf(each.state).data["attachments"] for each in page):
            return True
        start = page[-1].id + 1
    return False
