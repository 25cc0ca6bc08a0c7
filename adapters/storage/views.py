"""Inboxes, outboxes and status lists, in tables beside the log."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from adapters.storage import schema
from adapters.storage.engine import (
    PUBLISHED,
    Area,
    Database,
    as_many_spaces,
    portions,
    stream,
    upsert,
)
from adapters.storage.plain import Plain, scalar
from hub.application.ports import (
    DeliveryRow,
    DocumentRow,
    NoticeKind,
    NoticeRow,
    OrderRow,
    RelayRow,
    ViewChanges,
)
from hub.domain.delivery import DeliveryState, RecallState
from hub.domain.folding import as_searched, fold
from hub.domain.relay import Direction, RelayKind, RelayState
from hub.errors import LedgerMismatch

_state = schema.view_state.c
_documents = schema.view_documents.c
_deliveries = schema.view_deliveries.c
_notices = schema.view_notices.c
_words = schema.view_words.c

# A document's row with its words beside it: what DOCUMENT is selected from.
WITH_WORDS = _words.position == _documents.position
DOCUMENTS = schema.view_documents.join(schema.view_words, WITH_WORDS)

# All in the order of the fields of their rows.
DOCUMENT = (
    _documents.exchange_id,
    _documents.sender,
    _documents.envelope_digest,
    _documents.position,
    _documents.accepted_at_us,
    _words.code,
    _words.type_name,
    _words.subject,
    _documents.attachment_count,
    _documents.attachment_bytes,
    _documents.replaced_by,
    _words.type_code,
    _documents.priority,
    _documents.issued_on,
    _documents.due_on,
    _documents.erased,
    _documents.origin,
)
DELIVERY = (
    _deliveries.exchange_id,
    _deliveries.recipient,
    _deliveries.inbox_seq,
    _deliveries.state,
    _deliveries.collected,
    _deliveries.recall,
    _deliveries.expired,
    _deliveries.expires_at_us,
    _deliveries.position,
    _deliveries.updated_at_us,
    _deliveries.answer_by,
)
_NOTICE = (
    _notices.outbox,
    _notices.agency,
    _notices.seq,
    _notices.kind,
    _notices.exchange_id,
    _notices.recipient,
    _notices.code,
    _notices.by_exchange,
    _notices.position,
    _notices.recorded_at_us,
)

_ORDER = tuple(schema.view_orders.c)
_relays = schema.view_relays.c
RELAY = tuple(_relays)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Views:
    """The port Views.

    Its transactions are `disposable` (not synced one by one): views that a power cut sets
    back are behind the log, say so by their position, and are brought forward again.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def position(self) -> int:
        """The next event they have not seen."""
        with self._database.asking() as plain:
            position: int = scalar(plain, _POSITION)
        return position

    def apply(self, changes: ViewChanges, *, start: int, end: int) -> None:
        """Take in events `start` to `end` (not included), in at most eight statements.

        Raises ValueError for another `start` than `position`, or an `end` before it;
        LedgerMismatch for a delivery whose document or inbox number cannot be, and for a
        notice of an unknown delivery or under a number of its box that was given before.
        """
        documents = [_document_values(row) for row in changes.documents]
        words = [_word_values(row) for row in sorted(changes.documents, key=_position)]
        erased = [row.position for row in changes.documents if row.erased]
        deliveries = [_delivery_values(row) for row in changes.deliveries]
        notices = [_notice_values(row) for row in changes.notices]
        orders = [_order_values(row) for row in changes.orders]
        relays = [_relay_values(row) for row in changes.relays]
        try:
            with self._database.changing(Area.VIEWS, disposable=True) as plain:
                _advance(plain, start, end)
                _write(plain, _REPLACE_DOCUMENTS, documents)
                _write(plain, _APPEND_WORDS, words)
                for position in erased:
                    plain.change(_BLANK_WORDS, {"erased": position})
                _write(plain, _REPLACE_DELIVERIES, deliveries)
                plain.insert(_INSERT_NOTICES, notices)
                _write(plain, _REPLACE_ORDERS, orders)
                _write(plain, _REPLACE_RELAYS, relays)
                self._database.tell(plain, PUBLISHED)
        except sa.exc.IntegrityError as error:
            raise LedgerMismatch(
                f"events {start} to {end} do not fit the views: {error.orig}", position=start
            ) from error

    def clear(self) -> None:
        """Forget everything, to be rebuilt from position 0."""
        with self._database.writing(Area.VIEWS, disposable=True) as connection:
            connection.execute(sa.delete(schema.view_relays))
            connection.execute(sa.delete(schema.view_orders))
            connection.execute(sa.delete(schema.view_notices))
            connection.execute(sa.delete(schema.view_deliveries))
            connection.execute(sa.delete(schema.view_documents))
            connection.execute(sa.delete(schema.view_words))
            connection.execute(sa.update(schema.view_state).values(position=0))

    def document(self, exchange_id: UUID) -> DocumentRow | None:
        """One document."""
        statement = sa.select(*DOCUMENT).select_from(DOCUMENTS)
        statement = statement.where(_documents.exchange_id == exchange_id.bytes)
        with self._database.reading() as connection:
            row = connection.execute(statement).first()
        return None if row is None else document_of(row)

    def delivery(self, exchange_id: UUID, recipient: str) -> DeliveryRow | None:
        """The delivery of a document at one recipient."""
        statement = sa.select(*DELIVERY).where(
            _deliveries.exchange_id == exchange_id.bytes, _deliveries.recipient == recipient
        )
        with self._database.reading() as connection:
            row = connection.execute(statement).first()
        return None if row is None else delivery_of(row)

    def deliveries(self, exchange_id: UUID) -> Sequence[DeliveryRow]:
        """All deliveries of a document, by recipient code."""
        statement = (
            sa.select(*DELIVERY)
            .where(_deliveries.exchange_id == exchange_id.bytes)
            .order_by(_deliveries.recipient)
        )
        with self._database.reading() as connection:
            return [delivery_of(row) for row in connection.execute(statement)]

    def documents(self, exchange_ids: Collection[UUID]) -> dict[UUID, DocumentRow]:
        """Those of many documents that there are; one query for each 400."""
        statement = sa.select(*DOCUMENT).select_from(DOCUMENTS)
        with self._database.reading() as connection:
            rows = [
                document_of(row)
                for some in portions([each.bytes for each in exchange_ids])
                for row in connection.execute(statement.where(_documents.exchange_id.in_(some)))
            ]
        return {row.exchange_id: row for row in rows}

    def deliveries_at(
        self, places: Collection[tuple[UUID, str]]
    ) -> dict[tuple[UUID, str], DeliveryRow]:
        """Those of many deliveries that there are, by place; one query for each 400."""
        with self._database.reading() as connection:
            rows = [
                delivery_of(row)
                for some in portions([(each.bytes, recipient) for each, recipient in places])
                for row in connection.execute(_at(some))
            ]
        return {(row.exchange_id, row.recipient): row for row in rows}

    def inbox(
        self, agency: str, after: int, limit: int
    ) -> Sequence[tuple[NoticeRow, DeliveryRow, DocumentRow]]:
        """At most `limit` lines of an agency's inbox with a larger number, in order.

        One query along the primary key: as fast behind five million lines as at the first.
        """
        statement = (
            _lines(agency, after, limit, outbox=False)
            .add_columns(*DELIVERY, *DOCUMENT)
            .join_from(schema.view_notices, schema.view_deliveries)
            .join_from(schema.view_deliveries, schema.view_documents)
            .join_from(schema.view_documents, schema.view_words, WITH_WORDS)
        )
        one, two = len(_NOTICE), len(_NOTICE) + len(DELIVERY)
        with self._database.reading() as connection:
            return [
                (_notice(row[:one]), delivery_of(row[one:two]), document_of(row[two:]))
                for row in connection.execute(statement)
            ]

    def outbox(
        self, agency: str, after: int, limit: int
    ) -> Sequence[tuple[NoticeRow, DocumentRow]]:
        """At most `limit` lines of an agency's outbox with a larger number, in order.

        One query, as fast as that of an inbox.
        """
        statement = (
            _lines(agency, after, limit, outbox=True)
            .add_columns(*DOCUMENT)
            .join_from(
                schema.view_notices,
                schema.view_documents,
                _documents.exchange_id == _notices.exchange_id,
            )
            .join_from(schema.view_documents, schema.view_words, WITH_WORDS)
        )
        split = len(_NOTICE)
        with self._database.reading() as connection:
            return [
                (_notice(row[:split]), document_of(row[split:]))
                for row in connection.execute(statement)
            ]

    def overdue(self, at: datetime, limit: int) -> Sequence[DeliveryRow]:
        """At most `limit` deliveries that are still open at or after their `expires_at`.

        Oldest limit first, then by exchange and recipient.
        """
        statement = (
            sa.select(*DELIVERY)
            .where(sa.text(schema.MAY_EXPIRE), _deliveries.expires_at_us <= microseconds(at))
            .order_by(_deliveries.expires_at_us, _deliveries.exchange_id, _deliveries.recipient)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return [delivery_of(row) for row in connection.execute(statement)]

    def order(self, digest: bytes) -> OrderRow | None:
        """The order with this digest."""
        statement = sa.select(*_ORDER).where(schema.view_orders.c.digest == digest)
        with self._database.reading() as connection:
            row = connection.execute(statement).first()
        return None if row is None else _order(row)

    def orders(self, after: int, limit: int, *, open_only: bool) -> Sequence[OrderRow]:
        """At most `limit` orders at a position above `after`, in order.

        `open_only`: those nobody approved, by an index that holds nothing else.
        """
        position = schema.view_orders.c.position
        statement = sa.select(*_ORDER).where(position > after).order_by(position).limit(limit)
        if open_only:
            statement = statement.where(sa.text(schema.NOT_APPROVED))
        with self._database.reading() as connection:
            return [_order(row) for row in connection.execute(statement)]

    def relay(self, relay_id: UUID) -> RelayRow | None:
        """One package to or from the axis."""
        statement = sa.select(*RELAY).where(_relays.relay_id == relay_id.bytes)
        with self._database.reading() as connection:
            row = connection.execute(statement).first()
        return None if row is None else relay_of(row)

    def relays_of(self, exchange_id: UUID) -> Sequence[RelayRow]:
        """All packages of a document, by position and id."""
        statement = (
            sa.select(*RELAY)
            .where(_relays.exchange_id == exchange_id.bytes)
            .order_by(_relays.position, _relays.relay_id)
        )
        with self._database.reading() as connection:
            return [relay_of(row) for row in connection.execute(statement)]

    def rows(self) -> Iterator[DocumentRow | DeliveryRow | NoticeRow | OrderRow | RelayRow]:
        """Every row of one snapshot, each list by its key: documents, deliveries, notices, orders,
        packages.
        """
        relays = sa.select(*RELAY).order_by(_relays.relay_id)
        documents = sa.select(*DOCUMENT).select_from(DOCUMENTS).order_by(_documents.exchange_id)
        deliveries = sa.select(*DELIVERY).order_by(_deliveries.exchange_id, _deliveries.recipient)
        notices = sa.select(*_NOTICE).order_by(_notices.outbox, _notices.agency, _notices.seq)
        orders = sa.select(*_ORDER).order_by(schema.view_orders.c.position)
        with self._database.reading() as connection:
            yield from map(document_of, stream(connection, documents))
            yield from map(delivery_of, stream(connection, deliveries))
            yield from map(_notice, stream(connection, notices))
            yield from map(_order, stream(connection, orders))
            yield from map(relay_of, stream(connection, relays))


def _at(places: Sequence[tuple[bytes, str]]) -> sa.Select[Any]:
    """The deliveries at these places, each found along the primary key.

    Joined, for SQLite would walk through all of them in search of so many pairs.
    """
    columns = (sa.column("exchange_id", schema.ID), sa.column("recipient", schema.TEXT))
    wanted = sa.values(*columns, name="wanted").data(places).cte()
    here = (
        _deliveries.exchange_id == wanted.c.exchange_id,
        _deliveries.recipient == wanted.c.recipient,
    )
    return sa.select(*DELIVERY).join_from(wanted, schema.view_deliveries, sa.and_(*here))


def _lines(agency: str, after: int, limit: int, *, outbox: bool) -> sa.Select[Any]:
    """The lines of one box, to be joined with what they concern."""
    return (
        sa.select(*_NOTICE)
        .where(_notices.outbox.is_(outbox), _notices.agency == agency, _notices.seq > after)
        .order_by(_notices.seq)
        .limit(limit)
    )


def _advance(plain: Plain, start: int, end: int) -> None:
    if end < start:
        raise ValueError(f"events {start} to {end} run backwards")
    if plain.change(_ADVANCE, {"start": start, "end": end}) != 1:
        raise ValueError(f"the views do not stand at position {start}")


# Made once: to put a statement together takes SQLAlchemy longer than to run it.
_POSITION = sa.select(_state.position)
_ADVANCE = (
    sa.update(schema.view_state)
    .where(_state.position == sa.bindparam("start"))
    .values(position=sa.bindparam("end"))
)


def _replacing(table: sa.Table, *key: str) -> sa.Insert:
    insert = upsert(table)
    others = {column.name: column for column in insert.excluded if column.name not in key}
    return insert.on_conflict_do_update(index_elements=key, set_=others)


# The words of a document never change but by erasing: what is there already is the same.
_APPEND_WORDS = upsert(schema.view_words).on_conflict_do_nothing()
_BLANK_WORDS = (
    sa.update(schema.view_words)
    .where(_words.position == sa.bindparam("erased"))
    .values({each: as_many_spaces(each) for each in _words if each.name != "position"})
)
_REPLACE_DOCUMENTS = _replacing(schema.view_documents, "exchange_id")
_REPLACE_DELIVERIES = _replacing(schema.view_deliveries, "exchange_id", "recipient")
_REPLACE_ORDERS = _replacing(schema.view_orders, "position")
_REPLACE_RELAYS = _replacing(schema.view_relays, "relay_id")
# A notice never changes, so a second one with its number is a mistake.
_INSERT_NOTICES = sa.insert(schema.view_notices)


def _write(plain: Plain, statement: sa.Insert, rows: Sequence[tuple[Any, ...]]) -> None:
    # On a server one statement does not see its own rows, so of several with one key only the
    # last is sent. The columns of keys come first.
    width = sum(column.primary_key for column in statement.table.columns)
    plain.insert(statement, list({row[:width]: row for row in rows}.values()))


# Rows in the order of the columns of their tables, as the driver takes them.


def _document_values(row: DocumentRow) -> tuple[Any, ...]:
    return (
        row.exchange_id.bytes,
        row.sender,
        row.envelope_digest,
        row.position,
        microseconds(row.accepted_at),
        row.attachment_count,
        row.attachment_bytes,
        _optional_id(row.replaced_by),
        row.priority,
        _optional_day(row.issued_on),
        _optional_day(row.due_on),
        row.erased,
        row.origin,
    )


def _word_values(row: DocumentRow) -> tuple[Any, ...]:
    return (
        row.position,
        row.code,
        row.type_name,
        row.type_code,
        row.subject,
        fold(row.code),
        fold(row.type_name),
        fold(row.type_code),
        as_searched(row.subject),
    )


def _position(row: DocumentRow) -> int:
    return row.position


def _delivery_values(row: DeliveryRow) -> tuple[Any, ...]:
    return (
        row.exchange_id.bytes,
        row.recipient,
        row.inbox_seq,
        int(row.state),
        row.collected,
        int(row.recall),
        row.expired,
        None if row.expires_at is None else microseconds(row.expires_at),
        row.position,
        microseconds(row.updated_at),
        _optional_day(row.due_on),
    )


def _notice_values(row: NoticeRow) -> tuple[Any, ...]:
    return (
        row.outbox,
        row.agency,
        row.seq,
        int(row.kind),
        row.exchange_id.bytes,
        row.recipient or None,
        row.code,
        _optional_id(row.by_exchange),
        row.position,
        microseconds(row.recorded_at),
    )


def _order_values(row: OrderRow) -> tuple[Any, ...]:
    return (
        row.position,
        row.digest,
        row.action,
        _optional_id(row.exchange_id),
        row.envelope_digest,
        row.reason,
        row.basis,
        row.ordered_by,
        microseconds(row.ordered_at),
        microseconds(row.lapses_at),
        row.approved_by,
        None if row.approved_at is None else microseconds(row.approved_at),
        row.hub_key,
    )


def _relay_values(row: RelayRow) -> tuple[Any, ...]:
    return (
        row.relay_id.bytes,
        row.direction is Direction.IN,
        row.kind.value,
        row.exchange_id.bytes,
        row.agency,
        row.status,
        int(row.state),
        row.position,
        microseconds(row.since),
        microseconds(row.updated_at),
        row.attempts,
        None if row.again_at is None else microseconds(row.again_at),
        row.reason,
        row.code,
        row.axis_id,
        row.package,
        row.package_bytes,
        row.request_bytes,
        row.document_key,
        row.fingerprint,
    )


def relay_of(row: Sequence[Any]) -> RelayRow:
    """The row that the columns of RELAY hold."""
    relay_id, incoming, kind, exchange_id, agency, status, state, *others = row
    position, since_us, updated_at_us, attempts, again_at_us, *more = others
    return RelayRow(
        UUID(bytes=relay_id),
        Direction.IN if incoming else Direction.OUT,
        RelayKind(kind),
        UUID(bytes=exchange_id),
        agency,
        status,
        RelayState(state),
        position,
        instant(since_us),
        instant(updated_at_us),
        attempts,
        None if again_at_us is None else instant(again_at_us),
        *more,
    )


def document_of(row: Sequence[Any]) -> DocumentRow:
    """The row that the columns of DOCUMENT hold."""
    exchange_id, sender, digest, position, accepted_at_us, *others = row
    code, type_name, subject, attachment_count, attachment_bytes, replaced_by, *more = others
    type_code, priority, issued_on, due_on, erased, origin = more
    if erased:
        code = type_name = subject = type_code = ""  # As many spaces as there were bytes.
    return DocumentRow(
        UUID(bytes=exchange_id),
        sender,
        digest,
        position,
        instant(accepted_at_us),
        code,
        type_name,
        subject,
        attachment_count,
        attachment_bytes,
        _optional_uuid(replaced_by),
        type_code,
        priority,
        issued_on,
        due_on,
        erased,
        origin,
    )


def delivery_of(row: Sequence[Any]) -> DeliveryRow:
    """The row that the columns of DELIVERY hold."""
    exchange_id, recipient, inbox_seq, state, collected, recall, expired, *others = row
    expires_at_us, position, updated_at_us, due_on = others
    return DeliveryRow(
        UUID(bytes=exchange_id),
        recipient,
        inbox_seq,
        DeliveryState(state),
        collected,
        RecallState(recall),
        expired,
        None if expires_at_us is None else instant(expires_at_us),
        position,
        instant(updated_at_us),
        due_on,
    )


def _notice(row: Sequence[Any]) -> NoticeRow:
    outbox, agency, seq, kind, exchange_id, recipient, code, by_exchange, position, at_us = row
    return NoticeRow(
        outbox,
        agency,
        seq,
        NoticeKind(kind),
        UUID(bytes=exchange_id),
        recipient or "",
        code,
        _optional_uuid(by_exchange),
        position,
        instant(at_us),
    )


def _order(row: Sequence[Any]) -> OrderRow:
    position, digest, action, exchange_id, envelope_digest, reason, basis, *others = row
    ordered_by, ordered_at_us, lapses_at_us, approved_by, approved_at_us, hub_key = others
    return OrderRow(
        position,
        digest,
        action,
        _optional_uuid(exchange_id),
        envelope_digest,
        reason,
        basis,
        ordered_by,
        instant(ordered_at_us),
        instant(lapses_at_us),
        approved_by,
        None if approved_at_us is None else instant(approved_at_us),
        hub_key,
    )


def _optional_id(exchange_id: UUID | None) -> bytes | None:
    return None if exchange_id is None else exchange_id.bytes


def _optional_day(day: date | None) -> str | None:
    # As text: both databases read it, and Python's SQLite no longer takes a date.
    return None if day is None else day.isoformat()


def _optional_uuid(exchange_id: bytes | None) -> UUID | None:
    return None if exchange_id is None else UUID(bytes=exchange_id)


def microseconds(at: datetime) -> int:
    """An instant as the database keeps it."""
    return (at - _EPOCH) // _MICROSECOND


def instant(microseconds: int) -> datetime:
    """The instant that the database keeps."""
    return _EPOCH + microseconds * _MICROSECOND
