"""A way through which a test can let pass, hold, or cut what a hub says to another server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Self

from tests.support.patience import PATIENCE_S

_BLOCK_BYTES = 1 << 16


class Proxy:
    """Carries TCP connections to a port of this machine; each switch is thrown from any thread.

    `heard_from_client` and `heard_from_server` are shown each block before it is carried on, and
    cut the connection by answering False: the block is then not carried on.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._open: set[asyncio.StreamWriter] = set()
        self._held = asyncio.Event()
        self._refusing = False
        self.connections = 0
        self.heard_from_client: Callable[[bytes], bool] = lambda _: True
        self.heard_from_server: Callable[[bytes], bool] = lambda _: True

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """End every connection there is."""
        self._do(self._cut())

    def go_away(self) -> None:
        """End every connection, and each new one at once."""
        self._refusing = True
        self.cut()

    def stop_refusing(self) -> None:
        """Let new connections in again."""
        self._refusing = False

    def hold(self) -> None:
        """Carry nothing on, and end nothing: a network that swallows everything."""
        self._do(self._hold())

    def come_back(self) -> None:
        """Carry on as before, and what was held too."""
        self._refusing = False
        self._loop.call_soon_threadsafe(self._held.set)

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)

    async def _listen(self) -> None:
        self._held.set()
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _hold(self) -> None:
        self._held.clear()

    async def _cut(self) -> None:
        for writer in list(self._open):
            writer.transport.abort()

    async def _end(self) -> None:
        self._held.set()
        self._server.close()
        await self._cut()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self._refusing:
            writer.transport.abort()
            return
        try:
            their_reader, their_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, their_writer}
        try:
            await asyncio.gather(
                self._pass(reader, their_writer, "heard_from_client"),
                self._pass(their_reader, writer, "heard_from_server"),
            )
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            for each in (writer, their_writer):
                each.transport.abort()
            self._open -= {writer, their_writer}

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, heard: str
    ) -> None:
        while block := await reader.read(_BLOCK_BYTES):
            await self._held.wait()
            if not getattr(self, heard)(block):
                raise ConnectionAbortedError
            writer.write(block)
            await writer.drain()
        with suppress(OSError):
            writer.write_eof()
