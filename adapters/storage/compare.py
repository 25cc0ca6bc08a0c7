"""Two sets of views compared table by table, row by row, in memory that does not grow."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import sqlalchemy as sa

from adapters.storage import schema
from adapters.storage.engine import Database, stream


@dataclass(frozen=True, slots=True)
class TableDigest:
    """All rows of one table in the order of its key: how many, and SHA-256 over them."""

    rows: int
    sha256: str


@dataclass(frozen=True, slots=True)
class TableComparison:
    """One table as it is and as it should be; `first_difference` names a row by its key.

    `how` says whether that row is `missing`, `surplus` or `changed`, and then in which column.
    """

    table: str
    live: TableDigest
    rebuilt: TableDigest
    first_difference: Mapping[str, str] | None = None
    how: str = ""
    column: str = ""

    @property
    def same(self) -> bool:
        """Whether both are alike."""
        return self.live == self.rebuilt


def compare_views(live: Database, rebuilt: Database) -> Iterator[TableComparison]:
    """Each table of the views, one after the other."""
    for table in schema.view_tables():
        yield _compare(table, live, rebuilt)


def _compare(table: sa.Table, live: Database, rebuilt: Database) -> TableComparison:
    ones, others = _Rows(table), _Rows(table)
    difference: tuple[Mapping[str, str], str, str] | None = None
    with ExitStack() as stack:
        sides = [stack.enter_context(database.reading()) for database in (live, rebuilt)]
        pairs = zip_longest(ones.of(sides[0]), others.of(sides[1]))
        for one, other in pairs:
            if difference is None and one != other:
                difference = _difference(table, one, other)
    key, how, column = difference or (None, "", "")
    return TableComparison(table.name, ones.digest(), others.digest(), key, how, column)


class _Rows:
    """The rows of a table, hashed as they pass."""

    def __init__(self, table: sa.Table) -> None:
        self._table = table
        self._hash = hashlib.sha256()
        self._count = 0

    def of(self, connection: sa.Connection) -> Iterator[Sequence[Any]]:
        # The same bytes for the same values, whatever a driver makes of them.
        statement = sa.select(*map(_compared, self._table.columns))
        statement = statement.order_by(*self._table.primary_key.columns)
        for row in stream(connection, statement):
            values = tuple(row)
            self._hash.update(repr(values).encode() + b"\n")
            self._count += 1
            yield values

    def digest(self) -> TableDigest:
        return TableDigest(self._count, self._hash.hexdigest())


def _compared(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    # Erased words are spaces where a rebuild never knew any: both say nothing.
    is_words = column.table is schema.view_words and isinstance(column.type, sa.String)
    return sa.func.trim(column).label(column.name) if is_words else column


def _difference(
    table: sa.Table, one: Sequence[Any] | None, other: Sequence[Any] | None
) -> tuple[Mapping[str, str], str, str]:
    """Which row differs first, and how."""
    if one is None or other is None:
        row, how = (other, "missing") if one is None else (one, "surplus")
        return _key(table, row or ()), how, ""
    mine, theirs = _key_values(table, one), _key_values(table, other)
    if mine != theirs:
        # Both are in the order of the key: the smaller one is missing on the other side.
        return (_key(table, one), "surplus", "") if mine < theirs else (
            _key(table, other), "missing", ""
        )  # fmt: skip
    names = [column.name for column in table.columns]
    column = next(name for name, a, b in zip(names, one, other, strict=True) if a != b)
    return _key(table, one), "changed", column


def _key_values(table: sa.Table, row: Sequence[Any]) -> tuple[Any, ...]:
    by_name = dict(zip(table.columns.keys(), row, strict=True))
    return tuple(by_name[column.name] for column in table.primary_key.columns)


def _key(table: sa.Table, row: Sequence[Any]) -> dict[str, str]:
    names = [column.name for column in table.primary_key.columns]
    return {
        name: value.hex() if isinstance(value, bytes) else str(value)
        for name, value in zip(names, _key_values(table, row), strict=True)
    }
