"""What hubs on one database hear of each other: notifications, and a poll behind them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
import structlog

from adapters.storage import schema
from adapters.storage.engine import APPENDED, PUBLISHED, Database
from hub.application.ports import Seen

# A notification is lost with its connection, so whoever waits for one looks this often besides.
POLL_S = 0.25

_logger = structlog.get_logger(__name__)
_head, _views, _leadership = schema.head.c, schema.view_state.c, schema.leadership.c
_SEEN = sa.select(
    _head.next_position,
    _head.registry_version,
    sa.func.coalesce(sa.select(sa.func.max(schema.checkpoints.c.size)).scalar_subquery(), 0),
    _views.position,
    _leadership.epoch,
    _leadership.alone,
    _leadership.frozen,
    _leadership.frozen_position,
).select_from(
    # One row each.
    schema.head.join(schema.view_state, sa.true()).join(schema.leadership, sa.true())
)


class Pulse:
    """How far the log and all that follows it have come, in one statement."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self) -> Seen:
        """As it is now. Raises OSError."""
        with self._database.glancing() as connection:
            return Seen(*connection.execute(_SEEN).one())


class Listening:
    """A thread that calls `heard` after each notification, and 250 ms after the last call."""

    def __init__(self, database: Database, heard: Callable[[], None]) -> None:
        self._database = database
        self._heard = heard
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="listening", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """End; when it returns, `heard` is called no more."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._listen()
            except Exception as error:
                # The server went away, or we have a bug: neither may make a hub deaf for good.
                _logger.warning("the database cannot be listened to", error=str(error))
                self._stopping.wait(POLL_S)

    def _listen(self) -> None:
        with self._database.glancing() as connection:
            # Before it is detached: a connection that is not the pool's names its driver's no more.
            driver: Any = connection.connection.driver_connection
            connection.detach()  # It goes on listening, so nobody else may have it.
            for channel in (APPENDED, PUBLISHED):
                connection.exec_driver_sql(f"LISTEN {channel}")
            while not self._stopping.is_set():
                self._heard()
                for _ in driver.notifies(timeout=POLL_S, stop_after=1):
                    pass
                for _ in driver.notifies(timeout=0):
                    pass  # Several that came at once say no more than one.
