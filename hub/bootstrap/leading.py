"""How a hub comes to be the one that writes a database on a server, and how it learns it is not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from adapters.storage.engine import Database
from adapters.storage.leadership import BEAT_S, LEASE_S, Leadership, Undisputed
from adapters.system import system_elapsed
from hub.application.leading import StillLeading
from hub.application.ports import Lease
from hub.bootstrap.folder import DataFolder, FolderBusy

T = TypeVar("T")

# A leader that died a moment ago has given its last sign; then it must be believed to be gone.
_PATIENCE_S = LEASE_S + 2 * BEAT_S


class NoLongerLeading(Exception):
    """Another hub has taken over: this one has stopped writing, and ends."""


@contextmanager
def alone_with(
    database: Database, folder: DataFolder, *, standby: bool = False
) -> Iterator[Leadership | Undisputed]:
    """Hold a database as one's own; yields what knows when another hub has taken it.

    Held already is a file, by the lock of its folder. On a server the hub leads, and gives a sign
    each second; one that gives none for five seconds is followed by whoever waits. `standby` waits
    for ever; else FolderBusy is raised when another hub leads. Raises OSError.
    """
    if not database.is_server:
        yield Undisputed()
        return
    leadership = Leadership(database, folder.holder())
    give_up = None if standby else time.monotonic() + _PATIENCE_S
    while not leadership.take():
        if give_up is not None and time.monotonic() > give_up:
            raise FolderBusy("another hub is using the database on the server; stop it first")
        time.sleep(BEAT_S)
    try:
        yield leadership
    finally:
        leadership.give_up()


class Acting(StillLeading):
    """The port MayAct of a running hub; it looks on a thread of its own."""

    def __init__(self, lease: Lease) -> None:
        # Where others are waited for, an answer would be too old by the time it is read.
        self._thread = ThreadPoolExecutor(1, "leading")
        super().__init__(lease, offload=self._looked, elapsed=system_elapsed)

    def close(self) -> None:
        """Look no more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _looked(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
