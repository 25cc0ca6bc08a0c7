"""What monitoring asks over plain HTTP: `/metrics`, `/ready`, `/live`; nothing about documents."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from hub import http_serving
from hub.http_serving import Bounds

# A monitoring system or two, an orchestrator, and somebody with curl.
CONNECTIONS_MAX = 16
_CONNECTION_S_MAX = 30.0
_HEADERS_BYTES_MAX = 8 * 1024

_METRICS = b"text/plain; version=0.0.4; charset=utf-8"
_JSON, _TEXT = b"application/json", b"text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class StatusPages:
    """What the pages say. `metrics` may take a while, `ready` never does."""

    metrics: Callable[[], Awaitable[bytes]]
    ready: Callable[[], Mapping[str, object]]

    async def answer(self, method: str, path: str) -> tuple[int, bytes, bytes]:
        """Status, body and media type of the answer to a request for a path."""
        if method not in ("GET", "HEAD"):
            return 405, b"", _TEXT
        match path:
            case "/metrics":
                return 200, await self.metrics(), _METRICS
            case "/ready":
                found = self.ready()
                body = json.dumps(found, ensure_ascii=False).encode() + b"\n"
                return 200 if found["ready"] else 503, body, _JSON
            case "/live":
                # That it answers is the answer.
                return 200, b"alive\n", _TEXT
        return 404, b"", _TEXT


def application(pages: StatusPages) -> Callable[..., Awaitable[None]]:
    """The pages as an ASGI application."""

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        status, body, media_type = await pages.answer(scope["method"], scope["path"])
        headers = [
            (b"content-type", media_type),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
        ]
        if status == 405:
            headers.append((b"allow", b"GET, HEAD"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        body = body if scope["method"] != "HEAD" else b""
        await send({"type": "http.response.body", "body": body})

    return serve


@asynccontextmanager
async def serving(pages: StatusPages, listener: socket.socket) -> AsyncIterator[None]:
    """Serve on a bound socket for as long as the block runs."""
    bounds = Bounds(CONNECTIONS_MAX, _CONNECTION_S_MAX, _HEADERS_BYTES_MAX)
    async with http_serving.serving(application(pages), listener, bounds, name="status pages"):
        yield
