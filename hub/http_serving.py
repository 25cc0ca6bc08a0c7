"""Serve an ASGI application on a socket, in bounds, beside whatever else the process does."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

_STOP_WITHIN_S = 10

Application = Callable[[Any, Any, Any], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much strangers may take. Beyond `connections` the next one gets 503.

    A connection that says nothing, or a head that drips in, must not hold a place for long: each
    ends after `connection_s` seconds.
    """

    connections: int
    connection_s: float
    head_bytes: int


def bind(listen: str) -> socket.socket:
    """A socket on `address:port`; port 0 takes a free one. Raises OSError, ValueError."""
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, int(port)), family=family)


class BoundedProtocol(H11Protocol):
    """HTTP/1.1 for a bounded time on each connection."""

    def __init__(self, *args: Any, connection_s: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._connection_s = connection_s

    # asyncio hands a stream's protocol no other transport than uvicorn's narrower kind.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to count its time."""
        super().connection_made(transport)
        self._end = self.loop.call_later(self._connection_s, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Count no longer."""
        self._end.cancel()
        super().connection_lost(exc)


@asynccontextmanager
async def serving(
    app: Application,
    listener: socket.socket,
    bounds: Bounds,
    *,
    name: str,
    protocol: type[BoundedProtocol] = BoundedProtocol,
    **tls: Any,
) -> AsyncIterator[None]:
    """Serve on a bound socket for as long as the block runs; answers under way are finished.

    `tls` is what uvicorn.Config takes of the kind; without it, plain HTTP.
    """
    # It takes a class, and calls it.
    http: Any = partial(protocol, connection_s=bounds.connection_s)
    server = _Server(
        uvicorn.Config(
            app,
            http=http,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=bounds.connections,
            h11_max_incomplete_event_size=bounds.head_bytes,
            timeout_graceful_shutdown=_STOP_WITHIN_S,
            **tls,
        )
    )
    task = asyncio.create_task(server.serve([listener]), name=name)
    listens = asyncio.create_task(server.listens.wait())
    try:
        await asyncio.wait({task, listens}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task  # It could not start, and raises why.
        yield
    finally:
        listens.cancel()
        server.should_exit = True
        if not task.done():
            await task


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listens.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # Signals are for whoever runs this: it is not the process's only task.
