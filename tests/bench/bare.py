"""gRPC and nothing else: `python -m tests.bench.bare FOLDER PORT_FILE`, beside a hub's figures.

The same server library with the same mutual TLS as the hub whose folder is named. It echoes
messages, and copies content with SHA-256 as it flows. Ends when its standard input closes.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc.aio

from hub.bootstrap.folder import DataFolder
from hub.server.server import RECEIVE_BYTES_MAX, ServerIdentity

ECHO, PUT, GET = "/bare.Bare/Echo", "/bare.Bare/Put", "/bare.Bare/Get"


class _Bare(grpc.GenericRpcHandler):
    """`Put` takes a stream and answers with its digest; `Get` gives that many bytes back."""

    def __init__(self) -> None:
        self._kept: list[bytes] = []
        self._methods = {
            ECHO: grpc.unary_unary_rpc_method_handler(self._echo),
            PUT: grpc.stream_unary_rpc_method_handler(self._put),
            GET: grpc.unary_stream_rpc_method_handler(self._get),
        }

    def service(self, handler_call_details: Any) -> Any:
        return self._methods.get(handler_call_details.method)

    async def _echo(self, request: bytes, context: Any) -> bytes:
        return request

    async def _put(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        digest = hashlib.sha256()
        self._kept = []
        async for chunk in requests:
            digest.update(chunk)
            self._kept.append(chunk)
        return digest.digest()

    async def _get(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        digest = hashlib.sha256()
        for chunk in self._kept:
            digest.update(chunk)
            yield chunk


async def serve(folder: DataFolder, port_file: Path) -> None:
    """Serve until standard input is closed."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), stop.set)
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", RECEIVE_BYTES_MAX)])
    server.add_generic_rpc_handlers((_Bare(),))
    identity = ServerIdentity(
        certificate=folder.server_certificate,
        private_key=folder.server_key,
        client_authorities=folder.transport_authorities,
    )
    port = server.add_secure_port("127.0.0.1:0", identity.credentials())
    await server.start()
    # Renamed into place: whoever waits for it never reads half a number.
    unfinished = port_file.with_suffix(".new")
    unfinished.write_text(str(port))
    os.rename(unfinished, port_file)
    await stop.wait()
    await server.stop(None)


if __name__ == "__main__":
    asyncio.run(serve(DataFolder(Path(sys.argv[1])), Path(sys.argv[2])))
