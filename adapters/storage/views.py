"""Inbox and status lists, in tables beside the log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from adapters.storage import schema
from adapters.storage.engine import Database, upsert
from hub.application.ports import DeliveryRow, DocumentRow, ViewChanges
from hub.domain.delivery import DeliveryState
from hub.errors import LedgerMismatch

_state = schema.view_state.c
_documents = schema.view_documents.c
_deliveries = schema.view_deliveries.c

# Both in the order of the fields of their rows.
_DOCUMENT = (
    _documents.exchange_id,
    _documents.sender,
    _documents.envelope_digest,
    _documents.position,
    _documents.accepted_at_us,
    _documents.code,
    _documents.type_name,
    _documents.subject,
    _documents.attachment_count,
    _documents.attachment_bytes,
)
_DELIVERY = (
    _deliveries.exchange_id,
    _deliveries.recipient,
    _deliveries.inbox_seq,
    _deliveries.state,
    _deliveries.collected,
    _deliveries.position,
    _deliveries.updated_at_us,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# Walks through a table with so many rows in memory.
_STREAM = {"yield_per": 1000}


class Views:
    """The port Views.

    Its transactions are `disposable` (not synced one by one): views that a power cut sets
    back are behind the log, say so by their position, and are brought forward again.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def position(self) -> int:
        """The next event they have not seen."""
        with self._database.reading() as connection:
            position: int = connection.execute(sa.select(_state.position)).scalar_one()
        return position

    def apply(self, changes: ViewChanges, *, start: int, end: int) -> None:
        """Take in events `start` to `end` (not included), in at most three statements.

        Raises ValueError for another `start` than `position`, or an `end` before it;
        LedgerMismatch for a delivery whose document or inbox number cannot be.
        """
        try:
            with self._database.writing(disposable=True) as connection:
                _advance(connection, start, end)
                _write(
                    connection,
                    _REPLACE_DOCUMENTS,
                    [_document_values(row) for row in changes.documents],
                )
                _write(
                    connection,
                    _REPLACE_DELIVERIES,
                    [_delivery_values(row) for row in changes.deliveries],
                )
        except sa.exc.IntegrityError as error:
            raise LedgerMismatch(
                f"events {start} to {end} do not fit the views: {error.orig}", position=start
            ) from error

    def clear(self) -> None:
        """Forget everything, to be rebuilt from position 0."""
        with self._database.writing(disposable=True) as connection:
            connection.execute(sa.delete(schema.view_deliveries))
            connection.execute(sa.delete(schema.view_documents))
            connection.execute(sa.update(schema.view_state).values(position=0))

    def document(self, exchange_id: UUID) -> DocumentRow | None:
        """One document."""
        statement = sa.select(*_DOCUMENT).where(_documents.exchange_id == exchange_id.bytes)
        with self._database.reading() as connection:
            row = connection.execute(statement).first()
        return None if row is None else _document(row)

    def delivery(self, exchange_id: UUID, recipient: str) -> DeliveryRow | None:
        """The delivery of a document at one recipient."""
        statement = sa.select(*_DELIVERY).where(
            _deliveries.exchange_id == exchange_id.bytes, _deliveries.recipient == recipient
        )
        with self._database.reading() as connection:
            row = connection.execute(statement).first()
        return None if row is None else _delivery(row)

    def deliveries(self, exchange_id: UUID) -> Sequence[DeliveryRow]:
        """All deliveries of a document, by recipient code."""
        statement = (
            sa.select(*_DELIVERY)
            .where(_deliveries.exchange_id == exchange_id.bytes)
            .order_by(_deliveries.recipient)
        )
        with self._database.reading() as connection:
            return [_delivery(row) for row in connection.execute(statement)]

    def inbox(
        self, agency: str, after: int, limit: int
    ) -> Sequence[tuple[DeliveryRow, DocumentRow]]:
        """An agency's items with a larger `inbox_seq`, at most `limit`, in order.

        One query along the primary key: as fast behind five million items as at the first.
        """
        statement = (
            sa.select(*_DELIVERY, *_DOCUMENT)
            .join_from(schema.view_deliveries, schema.view_documents)
            .where(_deliveries.recipient == agency, _deliveries.inbox_seq > after)
            .order_by(_deliveries.inbox_seq)
            .limit(limit)
        )
        split = len(_DELIVERY)
        with self._database.reading() as connection:
            return [
                (_delivery(row[:split]), _document(row[split:]))
                for row in connection.execute(statement)
            ]

    def rows(self) -> Iterator[DocumentRow | DeliveryRow]:
        """Every row of one snapshot: documents by id, then deliveries by recipient and number."""
        documents = sa.select(*_DOCUMENT).order_by(_documents.exchange_id)
        deliveries = sa.select(*_DELIVERY).order_by(_deliveries.recipient, _deliveries.inbox_seq)
        with self._database.reading() as connection:
            yield from map(_document, connection.execute(documents, execution_options=_STREAM))
            yield from map(_delivery, connection.execute(deliveries, execution_options=_STREAM))


def _advance(connection: sa.Connection, start: int, end: int) -> None:
    if end < start:
        raise ValueError(f"events {start} to {end} run backwards")
    moved = connection.execute(
        sa.update(schema.view_state).where(_state.position == start).values(position=end)
    )
    if moved.rowcount != 1:
        raise ValueError(f"the views do not stand at position {start}")


def _replacing(table: sa.Table, *key: str) -> sa.Insert:
    insert = upsert(table)
    others = {column.name: column for column in insert.excluded if column.name not in key}
    return insert.on_conflict_do_update(index_elements=key, set_=others)


_REPLACE_DOCUMENTS = _replacing(schema.view_documents, "exchange_id")
_REPLACE_DELIVERIES = _replacing(schema.view_deliveries, "exchange_id", "recipient")


def _write(
    connection: sa.Connection, statement: sa.Insert, rows: Sequence[Mapping[str, Any]]
) -> None:
    if rows:
        connection.execute(statement, rows)


def _document_values(row: DocumentRow) -> dict[str, Any]:
    return {
        "exchange_id": row.exchange_id.bytes,
        "sender": row.sender,
        "envelope_digest": row.envelope_digest,
        "position": row.position,
        "accepted_at_us": _microseconds(row.accepted_at),
        "code": row.code,
        "type_name": row.type_name,
        "subject": row.subject,
        "attachment_count": row.attachment_count,
        "attachment_bytes": row.attachment_bytes,
    }


def _delivery_values(row: DeliveryRow) -> dict[str, Any]:
    return {
        "exchange_id": row.exchange_id.bytes,
        "recipient": row.recipient,
        "inbox_seq": row.inbox_seq,
        "state": int(row.state),
        "collected": row.collected,
        "position": row.position,
        "updated_at_us": _microseconds(row.updated_at),
    }


def _document(row: Sequence[Any]) -> DocumentRow:
    exchange_id, sender, digest, position, accepted_at_us, *others = row
    return DocumentRow(
        UUID(bytes=exchange_id), sender, digest, position, _instant(accepted_at_us), *others
    )


def _delivery(row: Sequence[Any]) -> DeliveryRow:
    exchange_id, recipient, inbox_seq, state, collected, position, updated_at_us = row
    return DeliveryRow(
        UUID(bytes=exchange_id),
        recipient,
        inbox_seq,
        DeliveryState(state),
        collected,
        position,
        _instant(updated_at_us),
    )


def _microseconds(at: datetime) -> int:
    return (at - _EPOCH) // _MICROSECOND


def _instant(microseconds: int) -> datetime:
    return _EPOCH + microseconds * _MICROSECOND
