"""Figures for statistics, read from the views row by row."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from adapters.storage import schema
from adapters.storage.engine import Database, stream
from adapters.storage.views import DOCUMENTS, WITH_WORDS, instant, microseconds
from hub.application.ports import DeliveryFigures, DocumentFigures, FiguresWanted, NoticeKind
from hub.domain.delivery import RecallState

_documents = schema.view_documents.c
_deliveries = schema.view_deliveries.c
_notices = schema.view_notices.c
_words = schema.view_words.c

_ANSWERS = ("02", "06")
_TAKEN_OVER = (NoticeKind.HANDED_OVER, NoticeKind.STATUS)
_GIVEN_UP = (NoticeKind.REPLACED, NoticeKind.EXPIRED, NoticeKind.ERASED)


class Figures:
    """The port Figures."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def snapshot(self) -> Iterator[_Snapshot]:
        """One state of the views; a long one keeps the write-ahead log from shrinking."""
        with self._database.reading() as connection:
            position = connection.scalar(sa.select(schema.view_state.c.position))
            yield _Snapshot(connection, position or 0)


class _Snapshot:
    def __init__(self, connection: sa.Connection, position: int) -> None:
        self._connection = connection
        self.position = position

    def sent(self, wanted: FiguresWanted) -> Iterator[DocumentFigures]:
        """One walk over the documents."""
        statement = (
            sa.select(
                _documents.sender, _words.type_name, _documents.accepted_at_us, _documents.erased
            )
            .select_from(DOCUMENTS)
            .where(*_accepted(wanted))
        )
        if wanted.agency:
            statement = statement.where(_documents.sender == wanted.agency)
        for sender, kind, accepted_at_us, erased in self._rows(statement):
            yield DocumentFigures(sender, "" if erased else kind, instant(accepted_at_us))

    def received(self, wanted: FiguresWanted) -> Iterator[DeliveryFigures]:
        """One walk over the deliveries beside one over the notices, grouped by delivery.

        The database sorts the notices on disk where they are many; here one row is held.
        """
        times = _times().subquery()
        statement = (
            sa.select(
                _deliveries.recipient,
                _words.type_name,
                _documents.erased,
                _documents.accepted_at_us,
                _documents.due_on,
                _deliveries.recall,
                times.c.taken_over,
                times.c.answered,
                times.c.given_up,
                times.c.asked_back,
            )
            .join_from(schema.view_deliveries, schema.view_documents)
            .join_from(schema.view_documents, schema.view_words, WITH_WORDS)
            .outerjoin(
                times,
                (times.c.exchange_id == _deliveries.exchange_id)
                & (times.c.recipient == _deliveries.recipient),
            )
            .where(*_accepted(wanted))
        )
        if wanted.agency:
            statement = statement.where(_deliveries.recipient == wanted.agency)
        return map(_delivery, self._rows(statement))

    def _rows(self, statement: sa.Select[Any]) -> Iterator[Any]:
        yield from stream(self._connection, statement)


def _accepted(wanted: FiguresWanted) -> list[sa.ColumnElement[bool]]:
    conditions = []
    if wanted.start is not None:
        conditions.append(_documents.accepted_at_us >= microseconds(wanted.start))
    if wanted.end is not None:
        conditions.append(_documents.accepted_at_us < microseconds(wanted.end))
    return conditions


def _times() -> sa.Select[Any]:
    """When each thing was first said of each delivery."""

    def first(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[Any]:
        return sa.func.min(sa.case((condition, _notices.recorded_at_us)))

    return sa.select(
        _notices.exchange_id,
        _notices.recipient,
        first(_notices.kind.in_(_TAKEN_OVER)).label("taken_over"),
        first(_notices.code.in_(_ANSWERS)).label("answered"),
        first(_notices.kind.in_(_GIVEN_UP)).label("given_up"),
        first(_notices.kind == NoticeKind.RECALL).label("asked_back"),
    ).group_by(_notices.exchange_id, _notices.recipient)


def _delivery(row: Any) -> DeliveryFigures:
    recipient, kind, erased, accepted_at_us, due_on, recall, taken_over, answered, *ends = row
    given_up, asked_back = ends
    if recall == RecallState.REFUSED:
        asked_back = None  # It had to be dealt with all the same.
    released = min((end for end in (given_up, asked_back) if end is not None), default=None)
    return DeliveryFigures(
        recipient=recipient,
        kind="" if erased else kind,
        accepted_at=instant(accepted_at_us),
        due_on=due_on,
        taken_over_at=_optional(taken_over),
        answered_at=_optional(answered),
        released_at=_optional(released),
    )


def _optional(at_us: int | None) -> datetime | None:
    return None if at_us is None else instant(at_us)
