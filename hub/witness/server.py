"""The one URL of a witness: POST /add-checkpoint, in bounded time and memory."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from hub.proof.witnessing import ADD_CHECKPOINT_BYTES_MAX
from hub.witness.witness import Answer, Witness

BODY_DEADLINE_S = 10.0
# Beyond so many the next one gets 503; a log comes back.
CONNECTIONS_MAX = 64
# A connection that says nothing, or a head that drips in, must not hold a place for long.
_CONNECTION_S_MAX = 60.0
_HEAD_BYTES_MAX = 8 * 1024
_STOP_WITHIN_S = 10

Application = Callable[[Any, Any, Any], Awaitable[None]]


def application(witness: Witness, told: Callable[[Answer], None]) -> Application:
    """The witness as an ASGI application; `told` gets every answer of the witness."""

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        answer = await _answer(scope, receive)
        headers = [
            (b"content-type", answer.media_type.encode()),
            (b"content-length", b"%d" % len(answer.body)),
            (b"cache-control", b"no-store"),
        ]
        if answer.status == 405:
            headers.append((b"allow", b"POST"))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer(scope: Any, receive: Any) -> Answer:
        if scope["path"] != "/add-checkpoint":
            return Answer(404, b"")
        if scope["method"] != "POST":
            return Answer(405, b"")
        try:
            async with asyncio.timeout(BODY_DEADLINE_S):
                body = await _body(receive)
        except TimeoutError:
            return Answer(408, b"")
        if body is None:
            return Answer(413, b"")
        # Syncs a file; not on the loop. Once begun it ends, whether or not anyone waits.
        answer = await asyncio.to_thread(witness.add_checkpoint, body)
        told(answer)
        return answer

    return serve


async def _body(receive: Any) -> bytes | None:
    """The body, or None for one that is too large, of which no more is read.

    One that breaks off is judged as far as it came: what is left is a checkpoint that the log
    signed, or none.
    """
    body = bytearray()
    while len(body) <= ADD_CHECKPOINT_BYTES_MAX:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    return bytes(body) if len(body) <= ADD_CHECKPOINT_BYTES_MAX else None


def bind(listen: str) -> socket.socket:
    """A socket on `address:port`; port 0 takes a free one. Raises OSError, ValueError."""
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, int(port)), family=family)


@asynccontextmanager
async def serving(app: Application, listener: socket.socket) -> AsyncIterator[int]:
    """Serve on a bound socket for as long as the block runs; its port."""
    server = _Server(
        uvicorn.Config(
            app,
            http=_Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=CONNECTIONS_MAX,
            h11_max_incomplete_event_size=_HEAD_BYTES_MAX,
            timeout_graceful_shutdown=_STOP_WITHIN_S,
        )
    )
    port: int = listener.getsockname()[1]
    task = asyncio.create_task(server.serve([listener]), name="witness server")
    listens = asyncio.create_task(server.listens.wait())
    try:
        await asyncio.wait({task, listens}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task  # It could not start, and raises why.
        yield port
    finally:
        listens.cancel()
        server.should_exit = True
        if not task.done():
            await task


class _Protocol(H11Protocol):
    """HTTP/1.1 for a bounded time on each connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._end = self.loop.call_later(_CONNECTION_S_MAX, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end.cancel()
        super().connection_lost(exc)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so."""
        await super().startup(sockets)
        self.listens.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to whoever runs this: it is not the process's only task."""
        yield
