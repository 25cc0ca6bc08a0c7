"""The wrapped keys of documents, in a database of their own with backups of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

import sqlalchemy as sa

from adapters.storage.engine import Database

_metadata = sa.MetaData()
_table = sa.Table(
    "document_keys",
    _metadata,
    sa.Column("exchange_id", sa.LargeBinary(16), primary_key=True),
    sa.Column("wrapped", sa.LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
# Ids in one statement; a database bounds the number of its parameters.
_IDS_MAX = 800


class DocumentKeys:
    """The port DocumentKeys."""

    def __init__(self, database: Database) -> None:
        """Creates the one table when it is not there: nothing about it will ever migrate.

        A database opened for reading only has it already.
        """
        self._database = database
        if not database.read_only:
            with database.writing() as connection:
                _metadata.create_all(connection)

    def add(self, wrapped: Mapping[UUID, bytes]) -> None:
        """Store keys; durable on return. Adding the same again changes nothing.

        Raises ValueError when an exchange has another key already: what is sealed under
        the first would be lost.
        """
        with self._database.writing() as connection:
            known = _find(connection, list(wrapped))
            if any(wrapped[exchange_id] != key for exchange_id, key in known.items()):
                raise ValueError("an exchange has another key already")
            rows = [
                {"exchange_id": exchange_id.bytes, "wrapped": key}
                for exchange_id, key in wrapped.items()
                if exchange_id not in known
            ]
            if rows:
                connection.execute(sa.insert(_table), rows)

    def get(self, exchange_id: UUID) -> bytes | None:
        """The wrapped key of an exchange; None when it was discarded or never was."""
        with self._database.reading() as connection:
            return _find(connection, [exchange_id]).get(exchange_id)

    def discard(self, exchange_ids: Sequence[UUID]) -> None:
        """Remove keys and every trace of them from the files; no error when there are none.

        Raises OSError when the trace in the write-ahead log could not be removed: repeat it.
        """
        statement = sa.delete(_table).where(_table.c.exchange_id == sa.bindparam("id"))
        if exchange_ids:
            with self._database.writing() as connection:
                connection.execute(statement, [{"id": each.bytes} for each in exchange_ids])
            self._database.empty_wal()


def _find(connection: sa.Connection, exchange_ids: Sequence[UUID]) -> dict[UUID, bytes]:
    found: dict[UUID, bytes] = {}
    for start in range(0, len(exchange_ids), _IDS_MAX):
        some = [each.bytes for each in exchange_ids[start : start + _IDS_MAX]]
        rows = connection.execute(
            sa.select(_table.c.exchange_id, _table.c.wrapped).where(_table.c.exchange_id.in_(some))
        )
        found.update((UUID(bytes=exchange_id), key) for exchange_id, key in rows)
    return found
