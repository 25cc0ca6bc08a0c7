"""Which of several hubs leads: one row on the server, held for as long as its hub gives a sign.

What only the leader writes, it writes under its epoch: every such transaction looks whether that
is still the newest, and holds the row while it does. So it stays true when a leader stood still,
or was cut off. Hubs that serve together all append to the log, unless the leader is alone.
"""

from __future__ import annotations

import math
import threading

import sqlalchemy as sa

from adapters.storage import schema
from adapters.storage.engine import FOLLOWING, Database
from hub.application.ports import NotLeading

# A leader gives a sign each second, and has lost its place after five without one: long enough
# for a server that restarts at once, short enough for those who wait.
BEAT_S = 1.0
LEASE_S = 5

_row = schema.leadership
_columns = _row.c
_NOW = sa.func.clock_timestamp()


class Leadership:
    """One hub's claim to lead, and the signs it gives."""

    def __init__(self, database: Database, hub: str, *, together: bool = False) -> None:
        """`hub` is the same for one folder on one machine, and for no other.

        Whoever has it holds the lock of that folder: so a row under the same name is that of a
        process that is gone. `together` lets other hubs append to the log while this one leads.
        """
        self._database = database
        self._hub = hub
        self._together = together
        self._stopping = threading.Event()
        self._beating: threading.Thread | None = None
        self._epoch = 0
        self.lost = threading.Event()
        """Set once another hub leads: nothing this one writes is kept any more."""

    @property
    def leads(self) -> bool:
        """Whether this hub led when it looked last."""
        return self._epoch > 0 and not self.lost.is_set()

    @property
    def epoch(self) -> int:
        """The epoch that this hub leads under; 0 before it leads."""
        return self._epoch

    def follow(self) -> None:
        """Serve beside the hub that leads: write nothing but what any hub may."""
        self._database.fence(FOLLOWING, together=True)

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
            values = {
                "epoch": epoch + 1,
                "hub": self._hub,
                "beat_at": _NOW,
                "alone": not self._together,
            }
            connection.execute(sa.update(_row).values(values))
        self._epoch = epoch + 1
        self._database.fence(self._epoch, together=self._together)
        if self._beating is not None:
            self._beating.join()  # It ended with the lead that was lost.
        self.lost.clear()
        self._beating = threading.Thread(target=self._beat, name="leadership", daemon=True)
        self._beating.start()
        return True

    def left(self) -> float:
        """See Lease. A sign that is overdue is given first."""
        age = sa.extract("epoch", _NOW - _columns.beat_at)
        with self._database.glancing() as connection:
            epoch, age_s = connection.execute(sa.select(_columns.epoch, age)).one()
        if epoch != self._epoch or not self.leads or self._stopping.is_set():
            raise NotLeading("another hub leads on this database now")
        if age_s is not None and age_s < LEASE_S / 2:
            return LEASE_S - float(age_s)
        if not self._sign(_NOW):
            raise NotLeading("another hub has come to lead on this database")
        return LEASE_S

    def give_up(self) -> None:
        """Let another lead at once; for good."""
        self._stopping.set()
        if self._beating is not None:
            self._beating.join()
        if self._epoch and not self.lost.is_set():
            self._sign(None)

    def freeze(self, reason: str, position: int | None) -> None:
        """Have no hub append anything until `thaw`; the first reason stays. Raises OSError."""
        values = {"frozen": reason, "frozen_position": position}
        with self._database.writing_unfenced() as connection:
            connection.execute(sa.update(_row).where(_columns.frozen.is_(None)).values(values))

    def thaw(self) -> None:
        """Everything was read, and found whole: hubs may append again. Raises OSError."""
        values = {"frozen": None, "frozen_position": None}
        with self._database.writing_unfenced() as connection:
            connection.execute(sa.update(_row).where(_columns.epoch == self._epoch).values(values))

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


class Undisputed:
    """The port Lease of a hub whose database is a file: whoever holds its folder's lock leads."""

    def __init__(self) -> None:
        self.lost = threading.Event()
        """Never set."""

    def left(self) -> float:
        """See Lease."""
        return math.inf
