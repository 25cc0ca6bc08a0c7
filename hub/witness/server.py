"""The one URL of a witness: POST /add-checkpoint, in bounded time and memory."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from hub import http_serving
from hub.http_serving import Application, Bounds
from hub.proof.witnessing import ADD_CHECKPOINT_BYTES_MAX
from hub.witness.witness import Answer, Witness

BODY_DEADLINE_S = 10.0
# Beyond so many the next one gets 503; a log comes back.
CONNECTIONS_MAX = 64
_CONNECTION_S_MAX = 60.0
_HEAD_BYTES_MAX = 8 * 1024


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


@asynccontextmanager
async def serving(app: Application, listener: socket.socket) -> AsyncIterator[int]:
    """Serve on a bound socket for as long as the block runs; its port."""
    bounds = Bounds(CONNECTIONS_MAX, _CONNECTION_S_MAX, _HEAD_BYTES_MAX)
    async with http_serving.serving(app, listener, bounds, name="witness server"):
        yield listener.getsockname()[1]
