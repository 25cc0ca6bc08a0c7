"""The log as static files over HTTPS (C2SP tlog-tiles), for whoever comes; entries for auditors.

It only reads, on threads of its own, and shares nothing with the gRPC server but the process.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from hub import http_serving
from hub.application.registry import Caller, Role
from hub.http_serving import BoundedProtocol, Bounds
from hub.proof.tiles import CHECKPOINT_PATH, TilePath

# Beyond so many the next one gets 503: the hub's own work goes first. A proxy with a cache
# serves any number.
CONNECTIONS_MAX = 64
_CONNECTION_S_MAX = 120.0
_HEADERS_BYTES_MAX = 16 * 1024

_TEXT, _BYTES = b"text/plain; charset=utf-8", b"application/octet-stream"
_FOR_EVER = b"public, max-age=31536000, immutable"
# A cache between us and an auditor must not serve what it keeps to the next one.
_FOR_EVER_TO_ONE = b"private, max-age=31536000, immutable"
_ASK_AGAIN, _NEVER = b"no-cache", b"no-store"

_logger = structlog.get_logger("hub.http")


@dataclass(frozen=True, slots=True)
class LogFiles:
    """What is served. `file` reads what is published; `caller` names a client certificate's owner.

    `caller` takes the certificate in DER, which an authority for connections has issued, or
    None where the client showed none.
    """

    checkpoint: Callable[[], bytes]
    file: Callable[[TilePath], Awaitable[bytes | None]]
    caller: Callable[[bytes | None], Caller | None]

    async def answer(self, method: str, path: str, certificate: bytes | None) -> Answer:
        """The answer to a request for a path, which begins with a slash.

        What is not there, is not yet published, is no path of the specification, or is not for
        this caller gets one and the same answer.
        """
        if method not in ("GET", "HEAD"):
            return Answer(405, b"", allow=True)
        if path == f"/{CHECKPOINT_PATH}":
            note = self.checkpoint()
            return Answer(200, note, _TEXT, _ASK_AGAIN) if note else Answer(404, b"")
        tile = TilePath.parse(path.removeprefix("/")) if path.startswith("/") else None
        if tile is None or (tile.level is None and not self._is_auditor(certificate)):
            return Answer(404, b"")
        data = await self.file(tile)
        if data is None:
            return Answer(404, b"")
        return Answer(200, data, _BYTES, _FOR_EVER if tile.level is not None else _FOR_EVER_TO_ONE)

    def _is_auditor(self, certificate: bytes | None) -> bool:
        caller = self.caller(certificate)
        return caller is not None and caller.role is Role.AUDITOR


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, a body, and how long it may be kept."""

    status: int
    body: bytes
    media_type: bytes = _TEXT
    cache: bytes = _NEVER
    allow: bool = False

    def headers(self) -> list[tuple[bytes, bytes]]:
        """As ASGI wants them."""
        headers = [
            (b"content-type", self.media_type),
            (b"content-length", b"%d" % len(self.body)),
            (b"cache-control", self.cache),
            (b"x-content-type-options", b"nosniff"),
        ]
        return [*headers, (b"allow", b"GET, HEAD")] if self.allow else headers


def application(files: LogFiles) -> Callable[..., Awaitable[None]]:
    """The files as an ASGI application."""

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        # As it was sent: what has to be decoded first is none of our paths.
        path = scope["raw_path"].decode("ascii", "replace")
        certificate = scope["state"].get(_CERTIFICATE)
        try:
            answer = await files.answer(scope["method"], path, certificate)
        except Exception as error:
            # Storage that fails, or contradicts itself: readiness and the log say so too.
            _logger.error("a file of the log was not served", path=path[:200], exc_info=error)
            answer = Answer(500, b"")
        _logger.info("request", method=scope["method"][:10], path=path[:200], status=answer.status)
        start = {"type": "http.response.start", "status": answer.status}
        await send({**start, "headers": answer.headers()})
        body = answer.body if scope["method"] != "HEAD" else b""
        await send({"type": "http.response.body", "body": body})

    return serve


@dataclass(frozen=True, slots=True)
class Tls:
    """The server's certificate and key, and the authorities client certificates come from."""

    certificate: Path
    private_key: Path
    client_authorities: Path


@asynccontextmanager
async def serving(files: LogFiles, tls: Tls, listener: socket.socket) -> AsyncIterator[None]:
    """Serve on a bound socket for as long as the block runs; answers under way are finished."""
    async with http_serving.serving(
        application(files),
        listener,
        Bounds(CONNECTIONS_MAX, _CONNECTION_S_MAX, _HEADERS_BYTES_MAX),
        name="log files",
        protocol=_Protocol,
        ssl_certfile=tls.certificate,
        ssl_keyfile=tls.private_key,
        ssl_ca_certs=str(tls.client_authorities),
        # Whoever shows no certificate is a stranger; one of a strange authority ends here.
        ssl_cert_reqs=ssl.CERT_OPTIONAL,
    ):
        yield


_CERTIFICATE = "client_certificate"


class _Protocol(BoundedProtocol):
    """With the client's certificate in each request's state."""

    # As in BoundedProtocol.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        certificate = tls.getpeercert(binary_form=True) if tls is not None else None
        # Copied by uvicorn into the scope of every request on this connection.
        self.app_state = {**self.app_state, _CERTIFICATE: certificate}
