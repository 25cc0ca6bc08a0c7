"""The signer's process asked by hubs of other machines: mutual TLS, and bounds for strangers."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TypeVar

from keys.checkpoint_signer import CheckpointSigner
from keys.link_tls import LinkContexts
from keys.signer_service import Answers, Rarely, Told

T = TypeVar("T")

# A hub shows who it is within two ways over the network. Whoever has not done so yet may be
# anybody: beyond so many of them the one that has waited longest gives its place to the next.
HANDSHAKES_MAX = 64
HANDSHAKE_TIMEOUT_S = 10.0
# What a client says before it is known: its certificate, and a few hundred bytes.
_HANDSHAKE_BYTES_MAX = 32 * 1024
_CHUNK_BYTES = 16 * 1024
# How long we wait for a client to read why it was turned away.
_FAREWELL_S = 5.0


@asynccontextmanager
async def serving_tls(
    signer: CheckpointSigner, listener: socket.socket, contexts: LinkContexts, *, told: Told
) -> AsyncIterator[None]:
    """Answer on a bound socket for as long as the block runs; answers under way are finished.

    Only hubs whose certificate the link accepts are answered. Strangers get a handshake that
    fails, within ten seconds, and at most 64 of them at once.
    """
    door = _Door(Answers(signer, told), contexts, told)
    server = await asyncio.start_server(door.serve, sock=listener, limit=2**16)
    try:
        yield
    finally:
        server.close()
        await door.closed()


class _Door:
    def __init__(self, answers: Answers, contexts: LinkContexts, told: Told) -> None:
        self._answers = answers
        self._contexts = contexts
        self._strangers = Rarely(told)
        # How long each may still take, by age: a dict keeps the order in which they came.
        self._waiting: dict[asyncio.Timeout, None] = {}
        self._connections: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - asyncio runs this as one
        self._connections.add(task)
        try:
            if (stream := await self._let_in(reader, writer)) is None:
                # What a stranger does not fetch must not keep the connection.
                writer.transport.abort()
            else:
                await self._answers.to(stream)
        finally:
            writer.close()
            await _hung_up(writer)
            self._connections.discard(task)

    async def closed(self) -> None:
        """Nobody waits any more, and whoever asked has the answer."""
        while self._waiting:
            self._end_the_oldest()
        await self._answers.finished()
        if self._connections:
            await asyncio.wait(self._connections, timeout=_FAREWELL_S)

    async def _let_in(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> TlsStream | None:
        if len(self._waiting) >= HANDSHAKES_MAX:
            self._end_the_oldest()
        patience = asyncio.timeout(HANDSHAKE_TIMEOUT_S)
        try:
            async with patience:
                self._waiting[patience] = None
                return await self._shaken_hands(reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            peer = writer.get_extra_info("peername") or ("",)
            more: dict[str, object] = {"error": _words(error), "peer": str(peer[0])}
            self._strangers.tell("turned away a connection", more)
            return None
        finally:
            self._waiting.pop(patience, None)

    def _end_the_oldest(self) -> None:
        oldest = next(iter(self._waiting))
        del self._waiting[oldest]
        oldest.reschedule(asyncio.get_running_loop().time())

    async def _shaken_hands(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> TlsStream:
        # In a thread: where a file has changed, keys are read and perhaps unsealed.
        context = await asyncio.to_thread(self._contexts.newest)
        stream = TlsStream(reader, writer, context)
        try:
            await stream.shake_hands()
        except ssl.SSLError:
            await stream.bid_farewell()
            raise
        self._contexts.require_accepted(stream.certificate())
        return stream


class TlsStream:
    """The server's end of TLS over a stream. Unlike asyncio's own, it says why it refuses."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        context: ssl.SSLContext,
    ) -> None:
        self._reader, self._writer = reader, writer
        self._came, self._goes = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._came, self._goes, server_side=True)

    async def shake_hands(self) -> None:
        """Raises SSLError for a client that is not let in, and one that says too much."""
        await self._step(self._tls.do_handshake, _HANDSHAKE_BYTES_MAX)

    def certificate(self) -> bytes | None:
        """What the client showed, in DER."""
        return self._tls.getpeercert(binary_form=True)

    async def bid_farewell(self) -> None:
        """Let the client read why: what it has said since would otherwise cut that off."""
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(_FAREWELL_S):
                self._writer.write_eof()
                while await self._reader.read(_CHUNK_BYTES):
                    pass

    async def readexactly(self, count: int, /) -> bytes:
        """So many bytes. Raises IncompleteReadError, OSError."""
        data = b""
        while len(data) < count:
            chunk = await self._step(partial(self._tls.read, count - len(data)))
            if not chunk:
                raise asyncio.IncompleteReadError(data, count)
            data += chunk
        return data

    async def send(self, data: bytes, /) -> None:
        """All of them. Raises OSError."""
        await self._step(partial(self._tls.write, data))

    async def _step(self, step: Callable[[], T], bytes_max: int | None = None) -> T:
        read = 0
        while True:
            try:
                done = step()
            except ssl.SSLWantReadError:
                await self._flush()
            except ssl.SSLError:
                # The alert that says why.
                await self._flush()
                raise
            else:
                await self._flush()
                return done
            if not (chunk := await self._reader.read(_CHUNK_BYTES)):
                raise asyncio.IncompleteReadError(b"", 1)
            read += len(chunk)
            if bytes_max is not None and read > bytes_max:
                raise ConnectionError("it says too much")
            self._came.write(chunk)

    async def _flush(self) -> None:
        if data := self._goes.read():
            self._writer.write(data)
            await self._writer.drain()


async def _hung_up(writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(_FAREWELL_S):
            await writer.wait_closed()
    writer.transport.abort()


def _words(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or str(error)
    return str(error) or type(error).__name__
