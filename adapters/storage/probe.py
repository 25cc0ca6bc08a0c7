"""Whether the database takes an event: tried, and undone."""

from __future__ import annotations

import sqlalchemy as sa

from adapters.storage import schema
from adapters.storage.engine import Database
from hub.application.ports import Randomness

_TOPIC = "hub.Probe"
_PROBE_BYTES = 256


class AppendProbe:
    """The port AppendProbe. Takes the writers' turn, as a commit does."""

    def __init__(self, database: Database, randomness: Randomness) -> None:
        self._database = database
        self._randomness = randomness

    def append_and_read(self) -> None:
        """Append beyond the end of the log, read it back, undo it, and sync.

        If we stop anywhere here the transaction is undone, and with it everything.
        """
        head, events = schema.head.c, schema.events
        with self._database.writing(by_any=True) as connection:
            position = connection.scalar(sa.select(head.next_position))
            row = {
                "position": position,
                "aggregate_id": self._randomness(16),
                "version": 1,
                "topic": _TOPIC,
                "registry": False,
                "state": self._randomness(_PROBE_BYTES),
            }
            with connection.begin_nested() as trial:
                connection.execute(sa.insert(events).values(row))
                state = sa.select(events.c.state).where(events.c.position == position)
                found = connection.scalar(state)
                trial.rollback()
            if found != row["state"]:
                raise OSError("the database gave back something else than was appended")
            # A transaction that changes nothing is not written to disk.
            connection.execute(sa.update(schema.head).values(next_position=head.next_position))
