"""The wrapped keys of documents, in a database of their own with backups of their own.

A key that was destroyed must be in no file. SQLite zeroes what it frees (`secure_delete`), but
when it moves rows from one page to another it leaves copies behind in pages that stay in use.
So no row here ever moves: each is appended with the highest number, never changes its size and
is never deleted. To destroy a key is to overwrite it in its place with zeros; the row stays, a
number and an id. `tests/integration/storage/test_remnants.py` holds SQLite to that.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from uuid import UUID

import sqlalchemy as sa

from adapters.storage.engine import Area, Database, as_many_zeros, upsert
from adapters.storage.plain import Plain, scalar

_metadata = sa.MetaData()
_table = sa.Table(
    "document_keys",
    _metadata,
    # SQLite gives a column its own rowid only when it is called INTEGER.
    sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
    sa.Column("exchange_id", sa.LargeBinary(16), nullable=False),
    # As many zeros once the key was destroyed.
    sa.Column("wrapped", sa.LargeBinary, nullable=False),
    sa.Index("document_keys_by_exchange", "exchange_id", unique=True),
)
# One row once anything was erased by law: erasures below were carried out in this copy.
_state = sa.Table(
    "erasure_state",
    _metadata,
    sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("below", sa.BigInteger, nullable=False),
)
# Built once: a rebuild asks for one key after the other, and building took longer than asking.
_ONE = sa.select(_table.c.wrapped).where(_table.c.exchange_id == sa.bindparam("id"))
_SOME = sa.select(_table.c.exchange_id, _table.c.wrapped).where(
    _table.c.exchange_id.in_(sa.bindparam("ids", expanding=True))
)
# Without the number, which the database gives.
_ADD = sa.insert(
    sa.table(
        _table.name,
        sa.column("exchange_id", sa.LargeBinary),
        sa.column("wrapped", sa.LargeBinary),
    )
)
# Ids in one statement; a database bounds the number of its parameters.
_IDS_MAX = 800
# Keys are only added, each beside the one before: more pages in memory would be of no use.
KEYS_CACHE_KIB = 4_096
# What `PRAGMA user_version` says of a file whose rows do not move.
_FORM = 1


class DocumentKeys:
    """The port DocumentKeys."""

    def __init__(self, database: Database) -> None:
        """Creates the tables when they are not there, or brings an older file to this form.

        A database opened for reading only is taken as it is.
        """
        self._database = database
        if database.read_only:
            return
        if database.is_server:
            with database.writing(Area.KEYS) as connection:
                _metadata.create_all(connection)
        elif database.user_version() < _FORM:
            with database.writing() as connection:
                _take_over_older(connection)
            # What the older form left behind between its rows goes too. If we stop here, the
            # next start comes here again.
            database.vacuum(user_version=_FORM)

    def add(self, wrapped: Mapping[UUID, bytes]) -> None:
        """Store keys; durable on return. Adding the same again changes nothing.

        Raises ValueError when an exchange has, or had, another key already: what is sealed
        under the first would be lost.
        """
        if not wrapped:
            return
        try:
            self._insert(wrapped)
        except sa.exc.IntegrityError:
            # Some were added before: looked up only now, for it hardly ever happens.
            with self._database.asking() as plain:
                known = _find(plain, list(wrapped))
            if any(known[each] != wrapped[each] for each in known):
                raise ValueError("an exchange has another key already") from None
            if new := {each: key for each, key in wrapped.items() if each not in known}:
                self._insert(new)

    def _insert(self, wrapped: Mapping[UUID, bytes]) -> None:
        with self._database.changing(Area.KEYS) as plain:
            plain.insert(_ADD, [(each.bytes, key) for each, key in wrapped.items()])

    def get(self, exchange_id: UUID) -> bytes | None:
        """The wrapped key of an exchange; None when it was discarded or never was."""
        with self._database.asking() as plain:
            key = scalar(plain, _ONE, {"id": exchange_id.bytes})
        return key if key and any(key) else None

    def find(self, exchange_ids: Collection[UUID]) -> dict[UUID, bytes]:
        """The wrapped keys of those exchanges that have one; one query for each 800."""
        with self._database.asking() as plain:
            found = _find(plain, list(exchange_ids))
        return {exchange_id: key for exchange_id, key in found.items() if any(key)}

    def discard(self, exchange_ids: Sequence[UUID]) -> None:
        """Destroy keys and every trace of them in the files; no error when there are none.

        Raises OSError when the trace in the write-ahead log could not be removed: repeat it.
        """
        statement = (
            sa.update(_table)
            .where(_table.c.exchange_id == sa.bindparam("id"))
            .values(wrapped=as_many_zeros(_table.c.wrapped))
        )
        if exchange_ids:
            with self._database.writing(Area.KEYS) as connection:
                connection.execute(statement, [{"id": each.bytes} for each in exchange_ids])
            self._database.forget(_table)

    def erased_below(self) -> int:
        """Every erasure recorded at a lower position has been carried out in this copy."""
        with self._database.reading() as connection:
            return connection.execute(sa.select(_state.c.below)).scalar() or 0

    def erase(self, exchange_ids: Sequence[UUID], below: int) -> None:
        """Destroy the keys of exchanges that were erased by law, then remember `below`."""
        self.discard(exchange_ids)
        insert = upsert(_state).values(id=1, below=below)
        insert = insert.on_conflict_do_update(index_elements=["id"], set_={"below": below})
        with self._database.writing(Area.KEYS) as connection:
            connection.execute(insert)


def document_keys_missing(url: str) -> bool:
    """Whether there is no store at this URL. Changes nothing; raises OSError."""
    with closing(Database(url)) as database:
        if not database.is_server:
            return not database.path.exists()
        with database.reading() as connection:
            return not sa.inspect(connection).has_table(_table.name)


def _find(plain: Plain, exchange_ids: Sequence[UUID]) -> dict[UUID, bytes]:
    """What stands in the rows of these exchanges; zeros where a key was destroyed."""
    found: dict[UUID, bytes] = {}
    for start in range(0, len(exchange_ids), _IDS_MAX):
        some = [each.bytes for each in exchange_ids[start : start + _IDS_MAX]]
        rows = plain.rows(_SOME, {"ids": some})
        found.update((UUID(bytes=exchange_id), key) for exchange_id, key in rows)
    return found


def _take_over_older(connection: sa.Connection) -> None:
    """Move the keys of an older file, kept by their ids, into rows that stay where they are."""
    inspector = sa.inspect(connection)
    tables = inspector.get_table_names()
    is_older = _table.name in tables and "number" not in {
        column["name"] for column in inspector.get_columns(_table.name)
    }
    if is_older:
        connection.exec_driver_sql("ALTER TABLE document_keys RENAME TO older_keys")
    _metadata.create_all(connection)
    if is_older:
        connection.exec_driver_sql(
            "INSERT INTO document_keys (exchange_id, wrapped)"
            " SELECT exchange_id, wrapped FROM older_keys ORDER BY exchange_id"
        )
        connection.exec_driver_sql("DROP TABLE older_keys")
