"""How a hub comes to be the one that writes a database on a server, and how it learns it is not."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from adapters.storage.engine import Database
from adapters.storage.leadership import BEAT_S, LEASE_S, Leadership
from hub.bootstrap.folder import DataFolder, FolderBusy

# A leader that died a moment ago has given its last sign; then it must be believed to be gone.
_PATIENCE_S = LEASE_S + 2 * BEAT_S


class NoLongerLeading(Exception):
    """Another hub has taken over: this one has stopped writing, and ends."""


@contextmanager
def alone_with(
    database: Database, folder: DataFolder, *, standby: bool = False
) -> Iterator[threading.Event]:
    """Hold a database as one's own; yields what is set when another hub has taken it.

    Held already is a file, by the lock of its folder. On a server the hub leads, and gives a sign
    each second; one that gives none for five seconds is followed by whoever waits. `standby` waits
    for ever; else FolderBusy is raised when another hub leads. Raises OSError.
    """
    if not database.is_server:
        yield threading.Event()
        return
    leadership = Leadership(database, folder.holder())
    give_up = None if standby else time.monotonic() + _PATIENCE_S
    while not leadership.take():
        if give_up is not None and time.monotonic() > give_up:
            raise FolderBusy("another hub is using the database on the server; stop it first")
        time.sleep(BEAT_S)
    try:
        yield leadership.lost
    finally:
        leadership.give_up()
