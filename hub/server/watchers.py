"""Wakes open streams when something new is published."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

# A watcher looks again after this long even if no wake-up reached it.
_POLL_S = 15.0


class Watcher:
    """Tells one open stream whether anything was published since it looked."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._closing = False

    async def wait(self) -> bool:
        """Return True when it is worth looking again, False when the hub is shutting down."""
        if not self._closing:
            try:
                async with asyncio.timeout(_POLL_S):
                    await self._event.wait()
            except TimeoutError:
                pass
        self._event.clear()
        return not self._closing

    def wake(self, *, closing: bool = False) -> None:
        """Make `wait` return."""
        self._closing = self._closing or closing
        self._event.set()


class Watchers:
    """All open streams. `published` may be called from any thread; the rest on the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._open: set[Watcher] = set()
        self._closing = False

    def __len__(self) -> int:
        """How many streams are open."""
        return len(self._open)

    @contextmanager
    def watch(self) -> Iterator[Watcher]:
        """A watcher for as long as a stream is open."""
        watcher = Watcher()
        if self._closing:
            watcher.wake(closing=True)
        self._open.add(watcher)
        try:
            yield watcher
        finally:
            self._open.discard(watcher)

    def published(self) -> None:
        """Something new became visible."""
        self._loop.call_soon_threadsafe(self._wake_all)

    def close(self) -> None:
        """End every stream at its next look, those that are only just beginning too."""
        self._closing = True
        self._wake_all(closing=True)

    def _wake_all(self, *, closing: bool = False) -> None:
        for watcher in self._open:
            watcher.wake(closing=closing)
