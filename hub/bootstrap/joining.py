"""How a hub comes to serve together with others on one database, and what they must share."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import structlog

from adapters.storage.engine import Database
from adapters.storage.folders import sync_folder
from adapters.storage.leadership import BEAT_S, Leadership
from adapters.storage.listening import Pulse
from adapters.system import system_randomness
from hub.application.ports import KeyCustody
from hub.bootstrap.content import content_place, content_root
from hub.bootstrap.folder import DataFolder, FolderBusy
from hub.config import ConfigInvalid, Settings
from hub.errors import ContentLost, LedgerMismatch

_logger = structlog.get_logger("hub")

# How long a leader that has just begun may take to say so in the folder of contents.
_MARKED_WITHIN_S = 15.0
_MARK = ".leader"
_MARK_BYTES_MAX = 4096
_KEY_BYTES = 32


class Company:
    """The hubs on this database as one of them knows them; the port Others."""

    def __init__(self, database: Database, folder: DataFolder, content: Path, place: str) -> None:
        """`content` is the folder of uploads, and of contents where they lie in one.

        `place` says in which kind of place contents lie, and in which bucket.
        """
        self._leadership = Leadership(database, folder.holder(), together=True)
        self._content = content
        self._place = place
        self._untold: LedgerMismatch | None = None
        self.pulse = Pulse(database)

    @property
    def leads(self) -> bool:
        """Whether this hub leads, as far as it has heard."""
        return self._leadership.leads

    @property
    def lost(self) -> threading.Event:
        """Set once another hub leads instead of this one."""
        return self._leadership.lost

    def left(self) -> float:
        """See Lease."""
        return self._leadership.left()

    def take(self) -> bool:
        """Lead, unless another hub gives signs. Raises OSError."""
        return self._leadership.take()

    def follow(self) -> None:
        """Serve beside the hub that leads. Raises FolderBusy when that lets nobody."""
        if self.pulse.read().alone:
            raise FolderBusy(
                "the hub that uses the database was started without --join, or a command has it"
            )
        self._leadership.follow()

    def give_up(self) -> None:
        """Let another lead at once. Raises OSError."""
        self._leadership.give_up()

    def freeze(self, mismatch: LedgerMismatch) -> None:
        """Stop all hubs; where they cannot be told, `repeat` does it."""
        self._untold = mismatch
        self.repeat()

    def repeat(self) -> None:
        """Tell what could not be told before."""
        if (mismatch := self._untold) is None:
            return
        try:
            self._leadership.freeze(str(mismatch), mismatch.position)
        except OSError as error:
            _logger.error("the other hubs could not be stopped yet", error=str(error))
        else:
            self._untold = None

    def thaw(self) -> None:
        """Everything was read and found whole. Raises OSError."""
        self._leadership.thaw()

    # --- what all of them must share ----------------------------------------------

    def mark(self, custody: KeyCustody) -> None:
        """Say in the folder of contents which epoch leads, sealed by the key of contents.

        Raises OSError.
        """
        secret = system_randomness(_KEY_BYTES)
        mark = {
            "epoch": self._leadership.epoch,
            "place": self._place,
            "wrapped": custody.wrap(secret).hex(),
            "sha256": hashlib.sha256(secret).hexdigest(),
        }
        unfinished = self._content / f"{_MARK}.new"
        with unfinished.open("w", encoding="ascii") as file:
            json.dump(mark, file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(self._content / _MARK)
        sync_folder(self._content)

    def require_shared(self, custody: KeyCustody) -> None:
        """Refuse a hub that does not see the leader's contents, or cannot open them.

        Raises ConfigInvalid, OSError.
        """
        give_up = time.monotonic() + _MARKED_WITHIN_S
        while (mark := self._read_mark()).get("epoch") != self.pulse.read().epoch:
            if time.monotonic() > give_up:
                raise ConfigInvalid(
                    f"{self._content} is not the folder that the hub which leads has; hubs that "
                    "serve together share one"
                )
            time.sleep(BEAT_S / 4)
        if not self._is_our_place(mark):
            raise ConfigInvalid(
                f"content_url: the hub which leads has its attachments in {mark['place']}, this "
                f"one in {self._place}; hubs that serve together share one place"
            )
        try:
            secret = custody.unwrap(bytes.fromhex(str(mark["wrapped"])))
        except (ContentLost, KeyError, ValueError):
            secret = b""
        if hashlib.sha256(secret).hexdigest() != mark.get("sha256"):
            raise ConfigInvalid(
                "the key of contents in keys/ is not the one that the hub which leads has; hubs "
                "that serve together share it"
            )

    def shares_content(self) -> bool:
        """Whether this hub still sees the leader's contents. Raises OSError."""
        mark = self._read_mark()
        return mark.get("epoch") == self.pulse.read().epoch and self._is_our_place(mark)

    def _is_our_place(self, mark: dict[str, object]) -> bool:
        # A leader of an older version does not say.
        return mark.get("place", self._place) == self._place

    def _read_mark(self) -> dict[str, object]:
        try:
            with (self._content / _MARK).open("rb") as file:
                mark = json.loads(file.read(_MARK_BYTES_MAX))
        except (FileNotFoundError, ValueError):
            return {}
        return mark if isinstance(mark, dict) else {}


@contextmanager
def in_company(database: Database, folder: DataFolder, settings: Settings) -> Iterator[Company]:
    """Lead or follow on a database, together with whoever else does.

    Raises ConfigInvalid where hubs cannot serve together, FolderBusy where one of them is alone,
    OSError.
    """
    _require_joinable(database, settings)
    place = content_place(settings)
    company = Company(database, folder, content_root(folder, settings), place)
    if not company.take():
        company.follow()
    try:
        yield company
    finally:
        company.give_up()


def _require_joinable(database: Database, settings: Settings) -> None:
    if not database.is_server:
        raise ConfigInvalid("database_url: hubs serve together on PostgreSQL only")
    if settings.document_keys_url.startswith("sqlite:"):
        raise ConfigInvalid(
            "document_keys_url: hubs that serve together keep the keys of documents on PostgreSQL"
        )
    if settings.signer == "local":
        raise ConfigInvalid(
            "signer: hubs that serve together ask one signer's process, `lienthong signer serve`"
        )


class Freshness:
    """Makes sure that a call knows what any hub has acknowledged before it came.

    Those who come while one look is under way share the next one: so a look costs a statement,
    however many calls there are. Used on the event loop.
    """

    def __init__(self, look: Callable[[], object]) -> None:
        """`look` is called on a thread of its own."""
        self._look = look
        self._thread = ThreadPoolExecutor(1, "looking")
        self._running: asyncio.Future[object] | None = None
        self._next: asyncio.Task[None] | None = None

    async def __call__(self) -> None:
        """Return once a look that began after this call has ended. Raises what it raises."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_task(self._run())
        await asyncio.shield(self._next)

    async def _run(self) -> None:
        if self._running is not None:
            await asyncio.wait([self._running])
        # Whoever comes from now on may have been told of something that this look misses.
        self._next = None
        self._running = asyncio.get_running_loop().run_in_executor(self._thread, self._look)
        await asyncio.wait([running := self._running])
        running.result()

    def close(self) -> None:
        """Wait for the look that is under way."""
        self._thread.shutdown()
