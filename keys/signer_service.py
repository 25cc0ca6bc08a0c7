"""The signer's process: it answers the hubs of its machine, and nobody else, on a Unix socket."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import stat
import struct
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from pathlib import Path

from keys.checkpoint_signer import CheckpointSigner
from keys.signer_wire import LENGTH_BYTES, MessageMalformed, answer, frame, length_of

CONNECTIONS_MAX = 32
# A question is a few kilobytes from a process on this machine.
QUESTION_TIMEOUT_S = 10.0

Told = Callable[[str, dict[str, object]], None]
"""What is worth a line of the log: what happened, and its circumstances."""


@asynccontextmanager
async def serving(
    signer: CheckpointSigner, path: Path, *, uids: Collection[int], told: Told
) -> AsyncIterator[None]:
    """Answer on the socket for as long as the block runs; answers under way are finished.

    Only processes of the users `uids` are answered, as the kernel names them. Raises OSError
    when somebody else listens there.
    """
    service = _Service(signer, frozenset(uids), told)
    listener = _listen(path, private=set(uids) == {os.geteuid()})
    server = await asyncio.start_unix_server(service.serve, sock=listener, limit=2**16)
    try:
        yield
    finally:
        server.close()
        await service.finished()
        _remove(path)


class _Service:
    def __init__(self, signer: CheckpointSigner, uids: frozenset[int], told: Told) -> None:
        self._signer = signer
        self._uids = uids
        self._told = told
        self._calls: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - asyncio runs this as one
        if len(self._calls) >= CONNECTIONS_MAX or not self._is_known(writer):
            writer.close()
            return
        self._calls.add(task)
        try:
            await self._answer_one(reader, writer)
        except (OSError, TimeoutError, MessageMalformed, asyncio.IncompleteReadError) as error:
            self._told("a question was not answered", {"error": type(error).__name__})
        finally:
            self._calls.discard(task)
            writer.close()

    async def finished(self) -> None:
        """Every question that has begun to be answered is."""
        if self._calls:
            await asyncio.wait(self._calls, timeout=QUESTION_TIMEOUT_S)

    async def _answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(QUESTION_TIMEOUT_S):
            length = length_of(await reader.readexactly(LENGTH_BYTES))
            question = await reader.readexactly(length)
        # In a thread: it waits for the disk, and its memory has a lock of its own.
        said = await asyncio.to_thread(answer, self._signer, question)
        if "error" in said:
            self._told("refused to sign", said)
        writer.write(frame(said))
        async with asyncio.timeout(QUESTION_TIMEOUT_S):
            await writer.drain()

    def _is_known(self, writer: asyncio.StreamWriter) -> bool:
        peer = writer.get_extra_info("socket")
        credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        _pid, uid, _gid = struct.unpack("3i", credentials)
        if uid not in self._uids:
            self._told("turned away a process of another user", {"uid": uid})
        return uid in self._uids


def _listen(path: Path, *, private: bool) -> socket.socket:
    _remove_what_a_killed_signer_left(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        # Who may connect; whom the kernel names is asked all the same.
        path.chmod(0o600 if private else 0o666)
    except BaseException:
        listener.close()
        raise
    return listener


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


def _remove_what_a_killed_signer_left(path: Path) -> None:
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise FileExistsError(errno.EEXIST, "something else than a socket is there", str(path))
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
    raise OSError(errno.EADDRINUSE, "another signer listens there", str(path))
