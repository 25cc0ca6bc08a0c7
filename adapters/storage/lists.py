"""Lists of documents: what an agency received and sent, filtered and searched.

Every call walks an index in the order of the list, from a place onwards, and stops at a full
page or after so many rows as the bounds below say. Dates become places by bisection, so a
list of last year costs what a list of today does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from adapters.storage import schema
from adapters.storage.engine import Database
from adapters.storage.views import (
    DELIVERY,
    DOCUMENT,
    DOCUMENTS,
    WITH_WORDS,
    delivery_of,
    document_of,
    microseconds,
)
from hub.application.ports import DocumentFilter, ReceivedRows, SentRows, Tally
from hub.domain.deadlines import STANDING, Passed
from hub.domain.delivery import DeliveryState, RecallState

# How many rows a call looks at, at the most, when a filter leaves some out. A document sent
# has up to 1,000 deliveries, which a filter on them looks at too.
RECEIVED_SCAN_MAX = 5_000
SENT_SCAN_MAX = 1_000

_documents = schema.view_documents.c
_deliveries = schema.view_deliveries.c
_words = schema.view_words.c

_Condition = sa.ColumnElement[bool]


@dataclass(frozen=True, slots=True)
class _Walk:
    """One list of one agency, in the order of `number`: its rows, and which are wanted.

    `conditions` are looked at row by row, at `scan_max` rows at the most; `mine` are those
    the index answers.
    """

    columns: Sequence[sa.ColumnElement[Any]]
    tables: sa.FromClause
    number: sa.ColumnElement[int]
    mine: Sequence[_Condition | sa.TextClause]
    conditions: Sequence[_Condition]
    scan_max: int


class DocumentLists:
    """The port DocumentLists."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def received(
        self, agency: str, wanted: DocumentFilter, passed: Passed, before: int | None, limit: int
    ) -> ReceivedRows:
        """Documents in an agency's inbox with an `inbox_seq` below `before`, by falling one.

        Looks at 5,000 deliveries at the most. What is not collected and what is late is
        found by an index of its own, which holds little else.
        """
        conditions = [*_of_document(wanted, _not_cancelled()), *_of_delivery(wanted, passed)]
        if wanted.other_agency:
            conditions.append(_documents.sender == wanted.other_agency)
        walk = _Walk(
            columns=[*DELIVERY, *DOCUMENT],
            tables=schema.view_deliveries.join(schema.view_documents).join(
                schema.view_words, WITH_WORDS
            ),
            number=_deliveries.inbox_seq,
            mine=[_deliveries.recipient == agency, *_waiting(wanted)],
            conditions=conditions,
            scan_max=RECEIVED_SCAN_MAX,
        )
        with self._database.reading() as connection:
            found, next_before = _stretch(connection, walk, wanted, before, limit)
        split = len(DELIVERY)
        rows = [(delivery_of(row[:split]), document_of(row[split:])) for row in found]
        return ReceivedRows(rows, next_before)

    def sent(
        self, agency: str, wanted: DocumentFilter, passed: Passed, before: int | None, limit: int
    ) -> SentRows:
        """Documents an agency sent with a position below `before`, by falling position.

        Looks at 1,000 documents at the most, and at their deliveries where the filter speaks
        of these; then counts the deliveries of the page.
        """
        walk = _Walk(
            columns=DOCUMENT,
            tables=DOCUMENTS,
            number=_documents.position,
            mine=[_documents.sender == agency],
            conditions=[*_of_document(wanted, sa.true()), *_of_some_delivery(wanted, passed)],
            scan_max=SENT_SCAN_MAX,
        )
        with self._database.reading() as connection:
            found, next_before = _stretch(connection, walk, wanted, before, limit)
            documents = [document_of(row) for row in found]
            tallies = _tallies(connection, [row.exchange_id.bytes for row in documents])
        rows = [(row, tallies.get(row.exchange_id.bytes, [])) for row in documents]
        return SentRows(rows, next_before)


# --- Walking ----------------------------------------------------------------------


def _stretch(
    connection: sa.Connection, walk: _Walk, wanted: DocumentFilter, before: int | None, limit: int
) -> tuple[Sequence[sa.Row[Any]], int | None]:
    """The next wanted rows, at most `limit`, and where to go on."""
    mine = [*walk.mine, *_places(connection, walk, wanted, before)]
    last = _last_to_look_at(connection, walk, mine) if walk.conditions else None
    if last is not None:
        mine.append(walk.number >= last)
    statement = (
        sa.select(*walk.columns)
        .select_from(walk.tables)
        .where(*mine, *walk.conditions)
        .order_by(walk.number.desc())
        .limit(limit + 1)
    )
    rows = connection.execute(statement).all()
    if len(rows) <= limit:
        return rows, last
    return rows[:limit], rows[limit - 1]._mapping[walk.number]


def _last_to_look_at(
    connection: sa.Connection, walk: _Walk, mine: Sequence[_Condition | sa.TextClause]
) -> int | None:
    """The number of the last row within the bound; None when the list ends before it."""
    statement = (
        sa.select(walk.number)
        .where(*mine)
        .order_by(walk.number.desc())
        .offset(walk.scan_max - 1)
        .limit(1)
    )
    return connection.execute(statement).scalar()


def _places(
    connection: sa.Connection, walk: _Walk, wanted: DocumentFilter, before: int | None
) -> list[_Condition]:
    """The part of the list to look at: below `before`, and accepted in the wanted time."""
    places = [] if before is None else [walk.number < before]
    if wanted.accepted_from is not None:
        places.append(walk.number >= _place_of(connection, walk, wanted.accepted_from))
    if wanted.accepted_before is not None:
        places.append(walk.number < _place_of(connection, walk, wanted.accepted_before))
    return places


def _place_of(connection: sa.Connection, walk: _Walk, at: datetime) -> int:
    """The lowest number that everything accepted at `at` or later has, and nothing earlier.

    Numbers and times rise together. Some twenty look-ups by the list's index.
    """
    statement = sa.select(sa.func.max(walk.number)).where(*walk.mine)
    highest = connection.execute(statement).scalar()
    if highest is None:
        return 0
    low, high, at_us = 0, highest + 1, microseconds(at)
    while low < high:
        middle = (low + high) // 2
        if _accepted_from_on(connection, walk, middle) < at_us:
            low = middle + 1
        else:
            high = middle
    return low


def _accepted_from_on(connection: sa.Connection, walk: _Walk, number: int) -> int:
    statement = (
        sa.select(_documents.accepted_at_us)
        .select_from(walk.tables)
        .where(*walk.mine, walk.number >= number)
        .order_by(walk.number)
        .limit(1)
    )
    accepted_at_us: int = connection.execute(statement).scalar_one()
    return accepted_at_us


# --- Filters ----------------------------------------------------------------------


def _of_document(wanted: DocumentFilter, readable: _Condition) -> list[_Condition]:
    """What a filter says of a document, but for the time it was accepted."""
    conditions: list[_Condition] = []
    if wanted.type:
        conditions.append(
            sa.or_(
                _words.folded_type_name == wanted.type,
                _words.folded_type_code == wanted.type,
            )
        )
    if wanted.priorities:
        conditions.append(_documents.priority.in_(wanted.priorities))
    if wanted.code:
        conditions.append(_words.folded_code.contains(wanted.code, autoescape=True))
    if wanted.words:
        conditions.append(readable)
        conditions += [_words.folded_subject.contains(f" {word} ") for word in wanted.words]
    if wanted.issued_from is not None:
        conditions.append(_documents.issued_on >= wanted.issued_from)
    if wanted.issued_to is not None:
        conditions.append(_documents.issued_on <= wanted.issued_to)
    if wanted.replaced is not None:
        is_set = _documents.replaced_by.is_not(None)
        conditions.append(is_set if wanted.replaced else ~is_set)
    return conditions


def _of_delivery(wanted: DocumentFilter, passed: Passed) -> list[_Condition]:
    """What a filter says of a delivery."""
    conditions: list[_Condition] = []
    if wanted.states:
        conditions.append(_deliveries.state.in_([int(state) for state in wanted.states]))
    if wanted.recalled is not None:
        was_recalled = _deliveries.recall != int(RecallState.NONE)
        conditions.append(was_recalled if wanted.recalled else ~was_recalled)
    if wanted.overdue_only:
        conditions.append(_late(passed))
    return conditions


def _of_some_delivery(wanted: DocumentFilter, passed: Passed) -> list[_Condition]:
    conditions = _of_delivery(wanted, passed)
    if wanted.other_agency:
        conditions.append(_deliveries.recipient == wanted.other_agency)
    if not conditions:
        return []
    of_this = _deliveries.exchange_id == _documents.exchange_id
    return [sa.exists().where(of_this, *conditions).correlate(schema.view_documents)]


def _late(passed: Passed) -> _Condition:
    """What `hub.domain.deadlines.lateness` says, to the database."""
    not_collected = sa.and_(
        sa.text(schema.NOT_COLLECTED),
        _documents.accepted_at_us < microseconds(passed.accepted_before),
    )
    not_answered = sa.and_(
        _deliveries.answer_by <= passed.due_until,
        _deliveries.state.not_in([int(DeliveryState.REFUSED), int(DeliveryState.FINISHED)]),
    )
    return sa.and_(
        _documents.replaced_by.is_(None),
        _documents.erased.is_(False),
        _deliveries.expired.is_(False),
        _deliveries.recall.in_([int(recall) for recall in STANDING]),
        sa.or_(not_collected, not_answered),
    )


def _waiting(wanted: DocumentFilter) -> list[sa.TextClause]:
    """The condition of the small index, in its very words, where the filter allows it."""
    if wanted.states == (DeliveryState.CONSIGNED,):
        return [sa.text(schema.NOT_COLLECTED)]
    return [sa.text(f"({schema.MAY_BE_LATE})")] if wanted.overdue_only else []


def _not_cancelled() -> _Condition:
    # Whoever agreed to a recall no longer has the document's words, not even by asking.
    return _deliveries.recall != int(RecallState.AGREED)


# --- Counting ---------------------------------------------------------------------


def _tallies(connection: sa.Connection, exchange_ids: Sequence[bytes]) -> dict[bytes, list[Tally]]:
    if not exchange_ids:
        return {}
    alike = (_deliveries.exchange_id, _deliveries.state, _deliveries.recall, _deliveries.expired)
    statement = (
        sa.select(*alike, sa.func.count())
        .where(_deliveries.exchange_id.in_(exchange_ids))
        .group_by(*alike)
        .order_by(*alike)
    )
    tallies: dict[bytes, list[Tally]] = {}
    for exchange_id, state, recall, expired, count in connection.execute(statement):
        tally = Tally(DeliveryState(state), RecallState(recall), expired, count)
        tallies.setdefault(exchange_id, []).append(tally)
    return tallies
