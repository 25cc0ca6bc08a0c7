"""What witnesses signed under the log's checkpoints, in the hub's database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from adapters.storage import schema
from adapters.storage.engine import Area, Database, stream, upsert
from hub.errors import LedgerMismatch
from hub.proof.note import NoteSignature

SHOWN_MAX = 64
_columns = schema.cosignatures.c
_SELECT = sa.select(_columns.witness, _columns.key_id, _columns.signature)


class CosignatureStore:
    """The port Cosignatures. Its triggers refuse what must not change, whoever asks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, size: int, line: NoteSignature) -> None:
        """Keep a witness's cosignature of the checkpoint of this size; durable on return.

        Another one by the same key stays. Raises LedgerMismatch without such a checkpoint.
        """
        row = {"witness": line.name, "key_id": line.key_id, "signature": line.signature}
        # The one writer sees no other between counting and inserting.
        count = sa.select(sa.func.count()).where(_columns.size == size)
        try:
            with self._database.writing(Area.TREE) as connection:
                nth = (connection.scalar(count) or 0) + 1
                insert = upsert(schema.cosignatures).values(size=size, nth=nth, **row)
                same = ["witness", "key_id", "size"]
                connection.execute(insert.on_conflict_do_nothing(index_elements=same))
        except sa.exc.IntegrityError as error:
            raise LedgerMismatch(f"there is no checkpoint of size {size} to cosign") from error

    def of(self, size: int) -> Sequence[NoteSignature]:
        """The cosignatures of one checkpoint, in the order they came."""
        statement = _SELECT.where(_columns.size == size).order_by(_columns.nth)
        with self._database.reading() as connection:
            rows = connection.execute(statement.limit(SHOWN_MAX))
            return [NoteSignature(*row) for row in rows]

    def newest(self, witness: str, key_id: bytes) -> int:
        """The largest size that this witness key cosigned; 0 if none."""
        statement = sa.select(sa.func.max(_columns.size)).where(
            _columns.witness == witness, _columns.key_id == key_id
        )
        with self._database.reading() as connection:
            return connection.scalar(statement) or 0

    def best(self, position: int) -> int | None:
        """The smallest of the sizes beyond a position that most witnesses cosigned."""
        most = sa.select(sa.func.max(_columns.nth))
        with self._database.reading() as connection:
            # One step in an index for each number of witnesses, whatever the log's length.
            for nth in range(connection.scalar(most) or 0, 0, -1):
                smallest = sa.select(sa.func.min(_columns.size)).where(
                    _columns.nth == nth, _columns.size > position
                )
                if size := connection.scalar(smallest):
                    return int(size)
        return None

    def all(self) -> Iterator[tuple[int, NoteSignature]]:
        """Every cosignature with its size, by rising size, from one snapshot."""
        statement = _SELECT.add_columns(_columns.size).order_by(_columns.size, _columns.nth)
        with self._database.reading() as connection:
            for *line, size in stream(connection, statement):
                yield size, NoteSignature(*line)
