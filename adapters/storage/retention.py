"""Documents past their time, found in the views along the order in which they came."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa

from adapters.storage import schema
from adapters.storage.engine import Database
from adapters.storage.views import DOCUMENT, DOCUMENTS, document_of, microseconds
from hub.application.ports import DocumentRow, Retained

# How many documents a call looks at, at the most.
SCAN_MAX = 5_000
# Ids begin with the time they were made, a moment before acceptance; clocks are set back.
_MARGIN = timedelta(days=1)
_ID_BYTES, _TIME_BYTES = 16, 6

_documents = schema.view_documents.c
_orders = schema.view_orders.c
_words = schema.view_words.c


class RetentionList:
    """The port RetentionList."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def due(
        self, policies: Sequence[Retained], at: datetime, after: UUID | None, limit: int
    ) -> tuple[Sequence[DocumentRow], UUID | None]:
        """Documents past their time by rising exchange id, and after which to go on, or None.

        Looks at 5,000 documents at the most, and at none that is too new for every policy.
        """
        places = [
            _documents.exchange_id < _first_id(max(each.accepted_before for each in policies))
        ]
        if after is not None:
            places.append(_documents.exchange_id > after.bytes)
        with self._database.reading() as connection:
            last = connection.execute(
                sa.select(_documents.exchange_id)
                .where(*places)
                .order_by(_documents.exchange_id)
                .offset(SCAN_MAX - 1)
                .limit(1)
            ).scalar()
            if last is not None:
                places.append(_documents.exchange_id <= last)
            statement = (
                sa.select(*DOCUMENT)
                .select_from(DOCUMENTS)
                .where(*places, _past(policies), _documents.erased.is_(False), ~_ordered(at))
                .order_by(_documents.exchange_id)
                .limit(limit + 1)
            )
            rows = [document_of(row) for row in connection.execute(statement)]
        if len(rows) > limit:
            return rows[:limit], rows[limit - 1].exchange_id
        return rows, None if last is None else UUID(bytes=last)


def _past(policies: Sequence[Retained]) -> sa.ColumnElement[bool]:
    """Past its time by every policy that speaks of it, and at least one does."""
    speaking = [_speaks(policy) for policy in policies]
    kept = [
        sa.and_(_speaks(policy), _documents.accepted_at_us >= microseconds(policy.accepted_before))
        for policy in policies
    ]
    return sa.and_(sa.or_(*speaking), ~sa.or_(*kept))


def _speaks(policy: Retained) -> sa.ColumnElement[bool]:
    return sa.or_(_words.folded_type_name == policy.kind, _words.folded_type_code == policy.kind)


def _ordered(at: datetime) -> sa.ColumnElement[bool]:
    return (
        sa.exists()
        .where(
            _orders.exchange_id == _documents.exchange_id,
            _orders.approved_by.is_(None),
            _orders.lapses_at_us >= microseconds(at),
        )
        .correlate(schema.view_documents)
    )


def _first_id(accepted_before: datetime) -> bytes:
    """An id that is higher than that of everything accepted before an instant."""
    milliseconds = int((accepted_before + _MARGIN).timestamp() * 1000)
    return max(0, milliseconds).to_bytes(_TIME_BYTES, "big").ljust(_ID_BYTES, b"\0")
