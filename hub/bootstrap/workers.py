"""The threads of a hub that serves: each kind of work has its own, and waits for no other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

import structlog

from adapters.storage.engine import DatabaseAway
from hub.errors import Unavailable

T = TypeVar("T")

_logger = structlog.get_logger("hub")

# Each writes and syncs a part of 1 MiB at a time; they must not keep readers waiting.
_UPLOADS = 4
# For the log as files: what is asked for there never takes a thread from the agencies.
_FILE_READERS = 2


class Workers:
    """Blocking work, away from the event loop. Each method but `close` is for the loop."""

    def __init__(self, readers: int) -> None:
        self._readers = ThreadPoolExecutor(readers, "reader")
        self._uploads = ThreadPoolExecutor(_UPLOADS, "upload")
        self._file_readers = ThreadPoolExecutor(_FILE_READERS, "file-reader")
        self._rechecking = ThreadPoolExecutor(1, "recheck")
        self._sweeping = ThreadPoolExecutor(1, "sweep")

    async def offload(self, work: Callable[[], T]) -> T:
        """What `work` gives. Raises Unavailable where the database is away."""
        return await self._asked(self._readers, work)

    async def offload_upload(self, work: Callable[[], T]) -> T:
        """The same for what writes attachments."""
        return await self._asked(self._uploads, work)

    async def offload_file(self, work: Callable[[], T]) -> T:
        """The same for who reads the log as files; errors come as they are."""
        return await asyncio.get_running_loop().run_in_executor(self._file_readers, work)

    async def offload_recheck(self, work: Callable[[], T]) -> T:
        """The same for what is read again for hours; errors come as they are."""
        return await asyncio.get_running_loop().run_in_executor(self._rechecking, work)

    async def offload_sweep(self, work: Callable[[], T]) -> T:
        """The same for what looks through all content; errors come as they are."""
        return await asyncio.get_running_loop().run_in_executor(self._sweeping, work)

    def close(self) -> None:
        """Wait for what is running."""
        for pool in (
            self._uploads,
            self._readers,
            self._file_readers,
            self._rechecking,
            self._sweeping,
        ):
            pool.shutdown()

    async def _asked(self, pool: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        # What is logged on the way names the call it belongs to.
        within = copy_context().run
        return await _answered(asyncio.get_running_loop().run_in_executor(pool, within, work))


async def _answered(answer: Awaitable[T]) -> T:
    """The answer of storage. A database that is away is nobody's mistake: the caller repeats."""
    try:
        return await answer
    except DatabaseAway as error:
        _logger.error("the database is away", error=str(error))
        raise Unavailable("the hub cannot reach its database; repeat the same call") from error
