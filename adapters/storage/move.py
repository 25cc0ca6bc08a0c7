"""A log copied from one database into another, and the two compared row by row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice, zip_longest
from typing import Any

import sqlalchemy as sa

from adapters.storage import schema
from adapters.storage.engine import Database, stream, upsert
from adapters.storage.plain import OnServer
from hub.errors import LedgerMismatch

Progress = Callable[[int, int], None]

_ROWS = 1000
# In the order in which rows may come: requests name events, cosignatures checkpoints. The last
# rows of those that grow are other ones when the hub has run in between.
_APPENDED = (
    schema.events,
    schema.requests,
    schema.payloads,
    schema.evidence,
    schema.checkpoints,
    schema.published,
    schema.cosignatures,
    schema.former_checkpoints,
)
_GROWING = (
    schema.inbox_heads,
    schema.outbox_heads,
    schema.tiles,
    schema.trusted_root_fetches,
)
# What says that everything else is there: so they come last, together.
_LAST = (schema.head, schema.erasure_state)


def copy_log(source: Database, target: Database, progress: Progress) -> int:
    """Copy all that no start can make anew, but for the head; how many rows were written.

    Broken off, it goes on when it is repeated. A hub on what is there until then finds a log
    without a head, which is not what its signer signed, and does not start.
    """
    total, done, written = _count(source, schema.events), 0, 0
    for table in _APPENDED:
        for rows in _missing(source, target, table):
            _insert(target, upsert(table).on_conflict_do_nothing(), rows)
            written += len(rows)
            if table is schema.events:
                done = rows[-1][0] + 1
                progress(done, total)
    for table in _GROWING:
        for rows in _pages(source, table):
            _insert(target, _replacing(table), rows)
    return written


def require_same(source: Database, target: Database, progress: Progress) -> None:
    """Compare every row but the head's; raises LedgerMismatch naming the first difference."""
    total = sum(_count(source, table) for table in (*_APPENDED, *_GROWING))
    done = 0
    for table in (*_APPENDED, *_GROWING):
        ordered = sa.select(table).order_by(*table.primary_key.columns)
        with source.reading() as one, target.reading() as other:
            for row, copied in zip_longest(stream(one, ordered), stream(other, ordered)):
                if row is None or copied is None or tuple(row) != tuple(copied):
                    raise LedgerMismatch(
                        f"the table {table.name} of the new database is not that of the old one; "
                        "make the new one empty, and begin again"
                    )
                done += 1
                if not done % _ROWS:
                    progress(done, total)
    progress(total, total)


def copy_head(source: Database, target: Database) -> None:
    """Move the head, in one transaction; from then on the target is the log."""
    with source.reading() as reading, target.writing() as connection:
        for table in _LAST:
            values = dict(reading.execute(sa.select(table)).one()._mapping)
            connection.execute(sa.update(table).values(values))


def is_begun(target: Database) -> bool:
    """Whether the head of a target was moved: then it is a log of its own."""
    with target.reading() as connection:
        return bool(connection.execute(sa.select(schema.head.c.next_position)).scalar_one())


def _missing(
    source: Database, target: Database, table: sa.Table
) -> Iterator[Sequence[tuple[Any, ...]]]:
    """The rows beyond the last that the target has; all of them, where that leaves some out."""
    yield from _pages(source, table, after=_last_key(target, table))
    if _count(source, table) != _count(target, table):
        yield from _pages(source, table)


def _pages(
    source: Database, table: sa.Table, after: Sequence[Any] | None = None
) -> Iterator[Sequence[tuple[Any, ...]]]:
    key = list(table.primary_key.columns)
    statement = sa.select(table).order_by(*key)
    if after is not None:
        statement = statement.where(
            sa.tuple_(*key) > sa.tuple_(*after, types=[each.type for each in key])
        )
    with source.reading() as connection:
        rows = stream(connection, statement)
        while page := [tuple(row) for row in islice(rows, _ROWS)]:
            yield page


def _last_key(database: Database, table: sa.Table) -> Sequence[Any] | None:
    key = list(table.primary_key.columns)
    statement = sa.select(*key).order_by(*(each.desc() for each in key)).limit(1)
    with database.reading() as connection:
        row = connection.execute(statement).first()
    return None if row is None else tuple(row)


def _insert(target: Database, statement: sa.Insert, rows: Sequence[tuple[Any, ...]]) -> None:
    with target.writing() as connection:
        OnServer(connection).insert(statement, rows)


def _replacing(table: sa.Table) -> sa.Insert:
    insert = upsert(table)
    key = [column.name for column in table.primary_key.columns]
    others = {each.name: each for each in insert.excluded if each.name not in key}
    return insert.on_conflict_do_update(index_elements=key, set_=others)


def _count(database: Database, table: sa.Table) -> int:
    with database.reading() as connection:
        count: int = connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
    return count
