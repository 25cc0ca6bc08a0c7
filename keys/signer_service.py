"""The signer's process: it answers the hubs that may ask it, and nobody else."""

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
from typing import Protocol

from keys.checkpoint_signer import CheckpointSigner
from keys.signer_wire import LENGTH_BYTES, MessageMalformed, answer, frame, length_of

CONNECTIONS_MAX = 32
# A question is a few kilobytes from a process near by.
QUESTION_TIMEOUT_S = 10.0
# What strangers bring about is told this often, with how often it happened.
TOLD_EVERY_S = 10.0

Told = Callable[[str, dict[str, object]], None]
"""What is worth a line of the log: what happened, and its circumstances."""


class Stream(Protocol):
    """A connection to somebody who may ask."""

    async def readexactly(self, count: int, /) -> bytes:
        """So many bytes. Raises IncompleteReadError, OSError."""
        ...

    async def send(self, data: bytes, /) -> None:
        """All of them. Raises OSError."""
        ...


@asynccontextmanager
async def serving(
    signer: CheckpointSigner, path: Path, *, uids: Collection[int], told: Told
) -> AsyncIterator[None]:
    """Answer on the socket for as long as the block runs; answers under way are finished.

    Only processes of the users `uids` are answered, as the kernel names them. Raises OSError
    when somebody else listens there.
    """
    answers, known = Answers(signer, told), frozenset(uids)
    strangers = Rarely(told)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if (uid := _user_of(writer)) in known:
                await answers.to(_Plain(reader, writer))
            else:
                strangers.tell("turned away a process of another user", {"uid": uid})
        finally:
            writer.close()

    listener = _listen(path, private=set(uids) == {os.geteuid()})
    server = await asyncio.start_unix_server(serve, sock=listener, limit=2**16)
    try:
        yield
    finally:
        server.close()
        await answers.finished()
        _remove(path)


class Answers:
    """One question and one answer a connection, for at most 32 of them at once."""

    def __init__(self, signer: CheckpointSigner, told: Told) -> None:
        self._signer = signer
        self._told = told
        self._calls: set[asyncio.Task[None]] = set()

    async def to(self, stream: Stream) -> None:
        """Answer somebody who may ask; whoever comes when it is full gets nothing."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - asyncio runs this as one
        if len(self._calls) >= CONNECTIONS_MAX:
            return
        self._calls.add(task)
        try:
            await self._answer_one(stream)
        except (OSError, TimeoutError, MessageMalformed, asyncio.IncompleteReadError) as error:
            self._told("a question was not answered", {"error": type(error).__name__})
        finally:
            self._calls.discard(task)

    async def finished(self) -> None:
        """Every question that has begun to be answered is."""
        if self._calls:
            await asyncio.wait(self._calls, timeout=QUESTION_TIMEOUT_S)

    async def _answer_one(self, stream: Stream) -> None:
        async with asyncio.timeout(QUESTION_TIMEOUT_S):
            length = length_of(await stream.readexactly(LENGTH_BYTES))
            question = await stream.readexactly(length)
        # In a thread: it waits for the disk, and its memory has a lock of its own.
        said = await asyncio.to_thread(answer, self._signer, question)
        if "error" in said:
            self._told("refused to sign", said)
        async with asyncio.timeout(QUESTION_TIMEOUT_S):
            await stream.send(frame(said))


class Rarely:
    """Tells what anybody can bring about: at once, and then at most every ten seconds."""

    def __init__(self, told: Told) -> None:
        self._told = told
        self._last: dict[str, float] = {}
        self._untold: dict[str, int] = {}

    def tell(self, event: str, more: dict[str, object]) -> None:
        """Tell it now, with how often it happened since it was told; or only count it."""
        now = asyncio.get_running_loop().time()
        if now - self._last.get(event, -TOLD_EVERY_S) < TOLD_EVERY_S:
            self._untold[event] = self._untold.get(event, 0) + 1
            return
        self._last[event] = now
        times = 1 + self._untold.pop(event, 0)
        self._told(event, {**more, "times": times})


class _Plain:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def readexactly(self, count: int, /) -> bytes:
        return await self._reader.readexactly(count)

    async def send(self, data: bytes, /) -> None:
        self._writer.write(data)
        await self._writer.drain()


def _user_of(writer: asyncio.StreamWriter) -> int:
    peer = writer.get_extra_info("socket")
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _pid, uid, _gid = struct.unpack("3i", credentials)
    return int(uid)


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
