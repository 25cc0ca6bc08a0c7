"""Tiles of the Merkle tree and the checkpoints over them, in the hub's database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import sqlalchemy as sa

from adapters.storage import schema
from adapters.storage.engine import PUBLISHED, Area, Database, stream, upsert
from adapters.storage.plain import Plain, scalar
from hub.errors import LedgerMismatch
from hub.proof.note import Note, NoteSignature, format_note, parse_note

_tiles = schema.tiles.c
_checkpoints = schema.checkpoints.c
_SELECT_CHECKPOINTS = sa.select(_checkpoints.size, _checkpoints.note)
_TILE = sa.select(_tiles.data).where(
    _tiles.level == sa.bindparam("level"), _tiles.number == sa.bindparam("number")
)
_NEWEST = sa.select(sa.func.max(_checkpoints.size))

HASH_BYTES = 32
TILE_BYTES_MAX = 256 * HASH_BYTES
# Walks through a table with so many rows in memory.
_ROWS = 256


class TreeStore:
    """The port TreeStore. Its triggers refuse what must not change, whoever asks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def tile(self, level: int, number: int) -> bytes:
        """The hashes a tile holds so far, 32 bytes each; empty when there is none."""
        with self._database.asking() as plain:
            return scalar(plain, _TILE, {"level": level, "number": number}) or b""

    def tiles(self) -> Iterator[tuple[int, int, bytes]]:
        """Every tile as (level, number, hashes) in this order, from one snapshot."""
        statement = sa.select(_tiles.level, _tiles.number, _tiles.data).order_by(
            _tiles.level, _tiles.number
        )
        with self._database.reading() as connection:
            rows = stream(connection, statement, _ROWS)
            yield from ((level, number, data) for level, number, data in rows)

    def publish(self, tiles: Mapping[tuple[int, int], bytes], size: int, checkpoint: bytes) -> None:
        """Store tiles and the checkpoint over them in one transaction; durable on return.

        The same again changes nothing. Raises LedgerMismatch when a tile would not keep its
        beginning, or when a checkpoint of this or a larger size stands already and is
        another; ValueError for a tile that is no whole number of hashes.
        """
        rows = _tile_rows(tiles)
        try:
            with self._database.changing(Area.TREE) as plain:
                _require_newest(plain, size)
                plain.insert(_GROW_TILES, rows)
                plain.change(_ADD_CHECKPOINT, {"size": size, "note": checkpoint})
                plain.change(_NOTE_PUBLISHED, {"size": size})
                self._database.tell(plain, PUBLISHED)
        except sa.exc.IntegrityError as error:
            raise LedgerMismatch(f"the tree was not published: {error.orig}") from error

    def keep_tiles(self, tiles: Mapping[tuple[int, int], bytes]) -> None:
        """Store tiles that no checkpoint covers yet; durable on return.

        Raises LedgerMismatch for a tile that would not keep its beginning.
        """
        if rows := _tile_rows(tiles):
            try:
                with self._database.changing(Area.TREE) as plain:
                    plain.insert(_GROW_TILES, rows)
            except sa.exc.IntegrityError as error:
                raise LedgerMismatch(f"the tiles were not stored: {error.orig}") from error

    def latest_checkpoint(self) -> tuple[int, bytes] | None:
        """The newest checkpoint with its size."""
        return self._first(_SELECT_CHECKPOINTS.order_by(_checkpoints.size.desc()))

    def checkpoint_covering(self, position: int) -> tuple[int, bytes] | None:
        """The first checkpoint whose tree holds the position: that of its receipt."""
        covering = _SELECT_CHECKPOINTS.where(_checkpoints.size > position)
        return self._first(covering.order_by(_checkpoints.size))

    def checkpoints(self, after: int = -1) -> Iterator[tuple[int, bytes]]:
        """Every checkpoint of a larger size than `after`, by rising size, from one snapshot."""
        larger = _SELECT_CHECKPOINTS.where(_checkpoints.size > after)
        statement = larger.order_by(_checkpoints.size)
        with self._database.reading() as connection:
            rows = stream(connection, statement, _ROWS)
            yield from ((size, note) for size, note in rows)

    def checkpoints_missing(self, after: int = -1) -> Iterator[int]:
        """The sizes of checkpoints that were published and are not there, by rising size."""
        published = schema.published.c
        statement = (
            sa.select(published.size)
            .outerjoin(schema.checkpoints, _checkpoints.size == published.size)
            .where(published.size > after, _checkpoints.size.is_(None))
            .order_by(published.size)
        )
        with self._database.reading() as connection:
            yield from (size for (size,) in stream(connection, statement, _ROWS))

    def close(self, origin: str) -> None:
        """Put all checkpoints away as those of a log that ended, in one transaction."""
        former = sa.insert(schema.former_checkpoints)
        with (
            self._database.writing(Area.TREE) as connection,
            _without_triggers(connection, _CHECKPOINT_TABLES),
        ):
            for size, note in connection.execute(_SELECT_CHECKPOINTS).all():
                cosigned = _cosigned(connection, size, note)
                connection.execute(former, {"size": size, "origin": origin, "note": cosigned})
            for table in _CHECKPOINT_TABLES:
                connection.execute(sa.delete(table))

    def former_checkpoints(self) -> Iterator[tuple[str, int, bytes]]:
        """Those of logs that ended, as (origin, size, signed note), by rising size."""
        former = schema.former_checkpoints.c
        statement = sa.select(former.origin, former.size, former.note)
        with self._database.reading() as connection:
            rows = stream(connection, statement.order_by(former.size, former.origin), _ROWS)
            yield from ((origin, size, note) for origin, size, note in rows)

    def _first(self, statement: sa.Select[int, bytes]) -> tuple[int, bytes] | None:
        with self._database.reading() as connection:
            row = connection.execute(statement.limit(1)).first()
        if row is None:
            return None
        size, note = row
        return size, note


# In the order in which rows may go: cosignatures are of checkpoints.
_CHECKPOINT_TABLES = (schema.cosignatures, schema.published, schema.checkpoints)


@contextmanager
def _without_triggers(connection: sa.Connection, tables: Sequence[sa.Table]) -> Iterator[None]:
    """For the one step that takes rows out of append-only tables; the same transaction ends it."""
    names = [table.name for table in tables]
    if connection.dialect.name == "postgresql":
        for name in names:
            connection.exec_driver_sql(f"ALTER TABLE {name} DISABLE TRIGGER USER")
        yield
        for name in names:
            connection.exec_driver_sql(f"ALTER TABLE {name} ENABLE TRIGGER USER")
        return
    ask = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name IN (?, ?, ?)"
    triggers = connection.exec_driver_sql(ask, tuple(names)).all()
    for name, _sql in triggers:
        connection.exec_driver_sql(f"DROP TRIGGER {name}")
    yield
    for _name, create in triggers:
        connection.exec_driver_sql(create)


def _cosigned(connection: sa.Connection, size: int, note: bytes) -> bytes:
    columns = schema.cosignatures.c
    statement = sa.select(columns.witness, columns.key_id, columns.signature)
    lines = connection.execute(statement.where(columns.size == size).order_by(columns.nth))
    signed = parse_note(note)
    cosignatures = (NoteSignature(*line) for line in lines)
    return format_note(Note(signed.text, (*signed.signatures, *cosignatures)))


# Both write only what differs, and then the triggers see an UPDATE they can refuse: what is
# published a second time, after a crash or a lost answer, changes nothing.


def _grow_tiles() -> sa.Insert:
    insert = upsert(schema.tiles)
    return insert.on_conflict_do_update(
        index_elements=["level", "number"],
        set_={"data": insert.excluded.data},
        where=_tiles.data != insert.excluded.data,
    )


def _add_checkpoint() -> sa.Insert:
    insert = upsert(schema.checkpoints)
    return insert.on_conflict_do_update(
        index_elements=["size"],
        set_={"note": insert.excluded.note},
        where=_checkpoints.note != insert.excluded.note,
    )


_GROW_TILES, _ADD_CHECKPOINT = _grow_tiles(), _add_checkpoint()
_NOTE_PUBLISHED = upsert(schema.published).on_conflict_do_nothing()


def _require_newest(plain: Plain, size: int) -> None:
    newest = scalar(plain, _NEWEST)
    if newest is not None and size < newest:
        raise LedgerMismatch(f"a checkpoint of size {newest} was published before size {size}")


def _tile_rows(tiles: Mapping[tuple[int, int], bytes]) -> list[tuple[int, int, bytes]]:
    return [(*place, _require_hashes(data)) for place, data in tiles.items()]


def _require_hashes(data: bytes) -> bytes:
    if not 0 < len(data) <= TILE_BYTES_MAX or len(data) % HASH_BYTES:
        raise ValueError("a tile holds 1 to 256 hashes of 32 bytes")
    return data
