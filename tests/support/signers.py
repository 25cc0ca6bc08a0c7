"""Signers that answer on a socket: in a thread of this process, or as the real command."""

from __future__ import annotations

import asyncio
import os
import selectors
import signal
import subprocess
import sys
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from keys.checkpoint_signer import CheckpointSigner
from keys.signer_service import serving

ROOT = Path(__file__).parents[2]
_START_DEADLINE_S = 60.0


class OneKey:
    """The port LogKeys over one key."""

    def __init__(self, key: Any) -> None:
        self._key = key

    def all(self) -> list[Any]:
        return [self._key]

    def make(self) -> Any:
        raise OSError("no key is made here")

    def destroy(self, key: Any) -> None:
        raise OSError("no key is destroyed here")


@contextmanager
def answering(
    signer: CheckpointSigner, path: Path, uids: Collection[int] | None = None
) -> Iterator[list[str]]:
    """Answer for as long as the block runs. The list fills with what was worth telling."""
    told: list[str] = []
    loop = asyncio.new_event_loop()
    ready, stop = threading.Event(), asyncio.Event()

    async def serve() -> None:
        users = {os.geteuid()} if uids is None else uids
        async with serving(signer, path, uids=users, told=lambda event, more: told.append(event)):
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    try:
        yield told
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


class SignerProcess:
    """`lienthong signer serve`, which can be killed, stopped, woken and started again."""

    def __init__(self, folder: Path, socket: Path) -> None:
        self.folder = folder
        self.socket = socket
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> SignerProcess:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.kill()

    def start(self) -> None:
        """Start, and wait for the line that says that it listens."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "hub.cli.main", "signer", "serve", self.folder,
             "--socket", self.socket],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            assert selector.select(_START_DEADLINE_S), "the signer said nothing"
        assert "listens on" in self._process.stdout.readline()

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """`kill -9`: nothing is finished, nothing is said."""
        self.end(signal.SIGKILL)

    def end(self, number: signal.Signals) -> int:
        assert self._process is not None
        process, self._process = self._process, None
        process.send_signal(number)
        process.send_signal(signal.SIGCONT)
        try:
            return process.wait(timeout=_START_DEADLINE_S)
        finally:
            assert process.stdout is not None
            process.stdout.close()
