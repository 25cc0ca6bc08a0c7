"""Which of several hubs leads: one row on the server, held for as long as its hub gives a sign.

The hub that leads alone writes. What keeps that true when one stood still, or was cut off, is
its epoch: every transaction that writes looks whether it is still the newest, and holds the
row while it does.
"""

from __future__ import annotations

import threading

import sqlalchemy as sa

from adapters.storage import schema
from adapters.storage.engine import Database

# A leader gives a sign each second, and has lost its place after five without one: long enough
# for a server that restarts at once, short enough for those who wait.
BEAT_S = 1.0
LEASE_S = 5

_row = schema.leadership
_columns = _row.c
_NOW = sa.func.clock_timestamp()


class Leadership:
    """One hub's claim to lead, and the signs it gives."""

    def __init__(self, database: Database, hub: str) -> None:
        """`hub` is the same for one folder on one machine, and for no other.

        Whoever has it holds the lock of that folder: so a row under the same name is that of a
        process that is gone.
        """
        self._database = database
        self._hub = hub
        self._stopping = threading.Event()
        self._beating = threading.Thread(target=self._beat, name="leadership", daemon=True)
        self._epoch = 0
        self.lost = threading.Event()
        """Set once another hub leads: nothing this one writes is kept any more."""

    def take(self) -> bool:
        """Lead from now on, unless another hub gives signs. Raises OSError."""
        free = sa.or_(
            _columns.beat_at.is_(None),
            _columns.beat_at < _NOW - sa.text(f"interval '{LEASE_S} seconds'"),
            _columns.hub == self._hub,
        )
        with self._database.writing_unfenced() as connection:
            # Waits for those who write under the epoch before: they are done, or undone.
            locked = sa.select(_columns.epoch).where(free).with_for_update()
            epoch = connection.execute(locked).scalar()
            if epoch is None:
                return False
            values = {"epoch": epoch + 1, "hub": self._hub, "beat_at": _NOW}
            connection.execute(sa.update(_row).values(values))
        self._epoch = epoch + 1
        self._database.fence(self._epoch)
        self._beating.start()
        return True

    def give_up(self) -> None:
        """Let another lead at once."""
        self._stopping.set()
        if self._beating.is_alive():
            self._beating.join()
        if self._epoch and not self.lost.is_set():
            self._sign(None)

    def _beat(self) -> None:
        while not self._stopping.wait(BEAT_S):
            try:
                if not self._sign(_NOW):
                    self.lost.set()
                    return
            except OSError:
                continue  # The server is away: whether we still lead, it says when it is back.

    def _sign(self, at: sa.ColumnElement[object] | None) -> bool:
        mine = sa.update(_row).where(_columns.epoch == self._epoch).values(beat_at=at)
        with self._database.writing_unfenced() as connection:
            return connection.execute(mine).rowcount == 1
