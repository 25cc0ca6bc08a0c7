"""How the use cases reach for what blocks, and what they do not leave half done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Offloader(Protocol):
    """Runs blocking reads and writes away from the event loop, on a bounded pool."""

    async def __call__(self, work: Callable[[], T]) -> T:
        """The result of `work`."""
        ...


class SeeThrough:
    """Waits for work that goes on to its end even when the caller hangs up."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    async def __call__(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`."""
        return await asyncio.shield(self.start(work))

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin without waiting."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)  # The loop itself holds tasks only weakly.
        task.add_done_callback(self._running.discard)
        return task
