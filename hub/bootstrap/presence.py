"""Stores that a hub once had and must not begin anew, because a disk may not be mounted."""

from __future__ import annotations

from adapters.storage.document_keys import document_keys_missing
from adapters.storage.engine import Database
from hub.bootstrap.folder import StoreMissing


def require_document_keys(url: str) -> None:
    """Refuse a hub without its document keys: new ones would be lost with the next restore.

    Raises StoreMissing.
    """
    if document_keys_missing(url):
        database = Database(url)
        where = "the database on the server" if database.is_server else str(database.path)
        raise StoreMissing(f"the keys of documents, {where}, are missing")
