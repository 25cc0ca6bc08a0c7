"""Signers that answer hubs: in a thread of this process, or as the real command."""

from __future__ import annotations

import asyncio
import os
import selectors
import signal
import socket
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hub.bootstrap import signer_links
from keys.age import read_plain
from keys.checkpoint_signer import CheckpointSigner
from keys.link import End, Link, LinkCertificate
from keys.link_tls import LinkContexts
from keys.signer_service import serving
from keys.signer_tls import serving_tls
from keys.ways import TlsWay
from tests.support.forks import Forked
from tests.support.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]


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
    users = {os.geteuid()} if uids is None else uids
    told: list[str] = []
    tell = lambda event, more: told.append(event)  # noqa: E731
    with _in_a_thread(lambda: serving(signer, path, uids=users, told=tell)):
        yield told


@contextmanager
def _in_a_thread(served: Callable[[], AbstractAsyncContextManager[None]]) -> Iterator[None]:
    loop = asyncio.new_event_loop()
    ready, stop = threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with served():
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(PATIENCE_S)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


class Linked:
    """Both ends of a link in two folders, each of which accepts the other."""

    def __init__(self, folder: Path, now: datetime | None = None) -> None:
        self.hub = Link(folder / "hub-link", End.HUB)
        self.signer = Link(folder / "own-link", End.SIGNER)
        for link in (self.hub, self.signer):
            self.make(link, now)
        introduce(self.hub, self.signer)

    @staticmethod
    def make(link: Link, now: datetime | None = None) -> LinkCertificate:
        """A certificate for a day from now on, or from another time."""
        return link.make("here", now=now or datetime.now(UTC), lasting=timedelta(days=1))

    def way(self, port: int, link: Link | None = None) -> TlsWay:
        """How the hub, or whoever has another link, reaches the signer."""
        link = link or self.hub
        contexts = LinkContexts(link, lambda: read_plain)
        return TlsWay("127.0.0.1", port, link, contexts, lambda: datetime.now(UTC))

    @contextmanager
    def answering(self, signer: CheckpointSigner) -> Iterator[Telling]:
        """Answer by TLS for as long as the block runs."""
        contexts = LinkContexts(self.signer, lambda: read_plain)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            telling = Telling(listener.getsockname()[1])
            served = lambda: serving_tls(signer, listener, contexts, told=telling.tell)  # noqa: E731
            with _in_a_thread(served):
                yield telling


class Telling:
    """Where a signer listens, and what it told."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.told: list[tuple[str, dict[str, object]]] = []
        self._some = threading.Event()

    def tell(self, event: str, more: dict[str, object]) -> None:
        self.told.append((event, more))
        self._some.set()

    def first(self) -> tuple[str, dict[str, object]]:
        """What was told first; whoever was turned away may know it before it is told."""
        assert self._some.wait(PATIENCE_S)
        return self.told[0]


def link_folders(hub: Path, signer: Path) -> None:
    """What operators do: a certificate for each end that has none, accepted at the other."""
    for root in (hub, signer):
        if signer_links.state(root).current is None:
            signer_links.make(root, root.name, 30, lambda: "")
    introduce(signer_links.link_in(hub), signer_links.link_in(signer))


def introduce(one: Link, other: Link) -> None:
    """Let each accept what the other shows."""
    now = datetime.now(UTC)
    for link, by in ((one, other), (other, one)):
        link.accept(by.current().pem.encode(), now)


class SignerProcess:
    """`lienthong signer serve`, which can be killed, stopped, woken and started again."""

    def __init__(
        self, folder: Path, socket: Path | None = None, *, listen: str | None = None
    ) -> None:
        self.folder = folder
        self._places = ["--socket", socket] if socket else ["--listen", listen]
        self._process: Forked | None = None

    def __enter__(self) -> SignerProcess:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.kill()

    def start(self) -> None:
        """Start, and wait for the line that says that it listens."""
        self._process = Forked(
            "hub.cli.main", "signer", "serve", self.folder, *self._places,
            stderr=2,  # Ours.
        )  # fmt: skip
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            assert selector.select(PATIENCE_S), "the signer said nothing"
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
            return process.wait(timeout=PATIENCE_S)
        finally:
            assert process.stdout is not None
            process.stdout.close()
