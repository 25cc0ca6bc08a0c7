"""Content that agencies have uploaded, or are uploading, and no submission has used yet.

`ROOT/uploads/<upload>/` holds

- `record`: whose it is and what it is to become; a folder without one is nobody's;
- `content/`: the parts that are here so far, as in `parts`;
- `whole`: there once all parts are and their digest was right;
- `claim`: which attachment of which exchange it is given to. From then on `content/` is
  either still here or there, or, where content lies in a bucket, in both places; only the log
  knows whether it stays there.

Where several hubs share the folder, each holds the lock of a file in `ROOT/uploads/hubs/` for as
long as its process lives, and its claims name that file.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Protocol
from uuid import UUID

from adapters.storage import parts
from adapters.storage.folders import sync_folder
from hub.application.ports import Claim, NewUpload, Randomness, StoredUpload
from hub.errors import ContentLost

_HUB = re.compile(r"[0-9a-f]{16}")
_NAME = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_UPLOADS, _HUBS = "uploads", "hubs"
_ID_BYTES = 8
_RECORD, _CONTENT, _WHOLE, _CLAIM = "record", "content", "whole", "claim"


def make_root(root: Path) -> None:
    """Make the folder of contents and of uploads; durable on return.

    Once in a hub's life: where it is missing later on, a disk may not be mounted.
    """
    (root / _UPLOADS).mkdir(mode=0o700, parents=True, exist_ok=True)
    sync_folder(root)
    sync_folder(root.absolute().parent)


def is_root(root: Path) -> bool:
    """Whether `root` was made by `make_root`."""
    return (root / _UPLOADS).is_dir()


class Adopter(Protocol):
    """The content store that takes what is here."""

    def take_over(self, content: Path, exchange_id: UUID, index: int) -> None:
        """Make a folder of parts and their key an attachment; durable on return."""
        ...

    def give_back(self, content: Path, exchange_id: UUID, index: int) -> None:
        """Undo `take_over`; no error when the content is back already."""
        ...


class MovedOn(OSError):
    """Another hub was first: look again at what there is of the upload."""


class UploadStore:
    """The port UploadStore, beside the content store that adopts what is here."""

    def __init__(
        self, root: Path, content: Adopter, randomness: Randomness, *, shared: bool = False
    ) -> None:
        """`root` was made by `make_root`; where content lies in a folder, it is the same one.

        Adopting is then a rename on one file system. Where it is `shared` by several hubs, each
        step holds the lock of the upload's record, and is refused with OSError where another hub
        was first.
        """
        self._folder = root / _UPLOADS
        self._shared = shared
        self._hub = ""
        self._alive: BinaryIO | None = None
        self._content = content
        self._randomness = randomness

    def create(self, upload: NewUpload) -> None:
        """Make room for an upload, of which nothing is here yet; durable on return."""
        folder = self._of(upload.upload_id)
        folder.mkdir(mode=0o700)
        (folder / _CONTENT).mkdir(mode=0o700)
        record = {
            "agency": upload.agency,
            "size": upload.size,
            "sha256": upload.sha256,
            "tag": upload.tag,
        }
        # If we stop before it, a folder without a record is left, which `tidy` removes.
        parts.write_durable(folder / _RECORD, json.dumps(record).encode())
        sync_folder(folder)
        sync_folder(self._folder)

    def uploads(self) -> Iterator[StoredUpload]:
        """Every upload that was created and not discarded."""
        for folder in self._folders():
            if (found := self.upload(UUID(folder.name))) is not None:
                yield found

    def upload(self, upload_id: UUID) -> StoredUpload | None:
        """One of them."""
        folder = self._of(upload_id)
        try:
            return self._read(folder) if (folder / _RECORD).exists() else None
        except FileNotFoundError:
            return None  # Another hub has just discarded it.

    def append(self, upload_id: UUID, number: int, part: bytes, key: bytes, *, last: bool) -> None:
        """Store the next part; durable on return, its name included."""
        folder = self._of(upload_id) / _CONTENT
        with self._holding(upload_id):
            if self._shared:
                self._require_first(upload_id, number)
            parts.write_part(folder, number, part, key, last=last, randomness=self._randomness)
            sync_folder(folder)

    def read(self, upload_id: UUID, size: int, stored: int, key: bytes) -> Iterator[bytes]:
        """The first `stored` bytes of content of this size, a part at a time.

        Raises ContentLost and OSError.
        """
        if stored == 0:
            return
        left = stored
        try:
            for part in parts.read_parts(self._of(upload_id) / _CONTENT, size, key, 0):
                yield part
                left -= len(part)
                if left <= 0:
                    return
        except FileNotFoundError as error:
            raise ContentLost("parts of the upload are gone from the hub's disk") from error

    def check(self, upload_id: UUID, size: int) -> None:
        """Raise ContentLost unless all of the content is here; looks at names and sizes only."""
        folder = self._of(upload_id)
        try:
            # What an exchange has adopted is that exchange's, even if a copy is still here.
            stored = parts.stored_bytes(folder / _CONTENT, size) if not _read_claim(folder) else 0
        except FileNotFoundError:
            stored = 0
        if stored != size:
            raise ContentLost("parts of the upload are gone from the hub's disk")

    def finish(self, upload_id: UUID) -> None:
        """Remember that everything is here and its digest was right; durable on return."""
        folder = self._of(upload_id)
        parts.write_durable(folder / _WHOLE, b"")
        sync_folder(folder)

    def adopt(self, upload_id: UUID, claim: Claim, content_key: bytes, exchange_key: bytes) -> None:
        """Give the content to an exchange; durable on return. `give_back` undoes any part of it."""
        with self._holding(upload_id):
            folder = self._of(upload_id)
            if self._shared and (not (folder / _WHOLE).exists() or (folder / _CLAIM).exists()):
                raise MovedOn("another hub gives this upload to an exchange")
            self._adopt(folder, claim, content_key, exchange_key, self._own_name())

    def _adopt(
        self, folder: Path, claim: Claim, content_key: bytes, exchange_key: bytes, hub: str
    ) -> None:
        place = (claim.exchange_id, claim.index)
        # (1) The content's key, sealed for its new place. If we stop here, a key is left that
        # no exchange opens; the next adoption replaces it.
        parts.write_key(
            folder / _CONTENT, content_key, exchange_key, place, randomness=self._randomness
        )
        sync_folder(folder / _CONTENT)
        # (2) Where it goes, before it goes there. If we stop here, or later, the claim leads
        # back to the content wherever it is; the log knows where it belongs.
        text = f"{claim.exchange_id} {claim.index} {hub}".rstrip()
        parts.write_durable(folder / _CLAIM, text.encode())
        sync_folder(folder)
        # (3) The move.
        self._content.take_over(folder / _CONTENT, *place)

    def give_back(self, upload_id: UUID, exchange_id: UUID) -> None:
        """Undo `adopt` by this exchange, wherever it stopped; no error when there is nothing to."""
        folder = self._of(upload_id)
        with self._holding(upload_id):
            claim = _read_claim(folder)
            if claim is None or claim.exchange_id != exchange_id:
                return
            self._content.give_back(folder / _CONTENT, claim.exchange_id, claim.index)
            # If we stop here, the claim still leads to an exchange that was never recorded.
            (folder / _CLAIM).unlink()
            sync_folder(folder)

    def discard(self, upload_id: UUID) -> None:
        """Forget an upload and what is still here of it; no error when there is nothing.

        Content that an exchange has adopted is not here any more.
        """
        folder = self._of(upload_id)
        if folder.exists():
            # The record first: what is left after it is nobody's.
            (folder / _RECORD).unlink(missing_ok=True)
            sync_folder(folder)
            shutil.rmtree(folder)
            sync_folder(self._folder)

    def is_usable(self) -> bool:
        """Whether uploads can be written now; the folder is made once, when the hub is.

        So it is also missing where another disk should be mounted and is not.
        """
        return os.access(self._folder, os.R_OK | os.W_OK | os.X_OK)

    def tidy(self) -> None:
        """Remove what an unfinished `create` or `discard` left; nothing where hubs share it."""
        if self._shared:
            return  # Another hub may be about to finish it.
        for folder in self._folders():
            if not (folder / _RECORD).exists():
                shutil.rmtree(folder)

    def _folders(self) -> Iterator[Path]:
        """The folders that `create` made; whatever else lies here is passed over."""
        for folder in list(self._folder.iterdir()):
            if _NAME.fullmatch(folder.name) and folder.is_dir():
                yield folder

    def _read(self, folder: Path) -> StoredUpload:
        record = json.loads((folder / _RECORD).read_bytes())
        content, claim = folder / _CONTENT, _read_claim(folder)
        whole = (folder / _WHOLE).exists()
        if whole or not content.exists():
            stored = record["size"] if whole else 0
        else:
            stored = parts.stored_bytes(content, record["size"])
        return StoredUpload(
            upload=NewUpload(UUID(folder.name), **record),
            stored=stored,
            whole=whole,
            claim=claim,
            abandoned=self._shared and claim is not None and not self._lives(_claimant(folder)),
            touched_at=_touched(content if content.exists() else folder),
        )

    def close(self) -> None:
        """Say that this process claims nothing any more; what it claimed last may be resolved."""
        if self._alive is not None:
            (self._folder / _HUBS / self._hub).unlink(missing_ok=True)
            self._alive.close()
            self._alive = None

    @contextmanager
    def _holding(self, upload_id: UUID) -> Iterator[None]:
        """Keep other hubs from changing this upload; nothing where there are none."""
        if not self._shared:
            yield
            return
        try:
            record = (self._of(upload_id) / _RECORD).open("rb")
        except FileNotFoundError:
            raise MovedOn("another hub has ended this upload") from None
        with record:
            fcntl.flock(record, fcntl.LOCK_EX)
            yield

    def _own_name(self) -> str:
        """The name of this process among those that share the folder, and live."""
        if self._shared and self._alive is None:
            self._hub = self._randomness(_ID_BYTES).hex()
            hubs = self._folder / _HUBS
            hubs.mkdir(mode=0o700, exist_ok=True)
            # Held until the process ends, however it ends.
            self._alive = (hubs / self._hub).open("wb")
            fcntl.flock(self._alive, fcntl.LOCK_EX)
        return self._hub

    def _lives(self, hub: str) -> bool:
        if hub == self._hub:
            return bool(hub)
        try:
            with (self._folder / _HUBS / hub).open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def _require_first(self, upload_id: UUID, number: int) -> None:
        folder = self._of(upload_id)
        taken = (folder / _WHOLE).exists() or (folder / _CLAIM).exists()
        if taken or not parts.is_next(folder / _CONTENT, number):
            raise MovedOn("another hub goes on with this upload")

    def _of(self, upload_id: UUID) -> Path:
        return self._folder / str(upload_id)


def _read_claim(folder: Path) -> Claim | None:
    try:
        exchange_id, index, *_ = (folder / _CLAIM).read_text().split()
    except FileNotFoundError:
        return None
    return Claim(UUID(exchange_id), int(index))


def _claimant(folder: Path) -> str:
    """Which hub made a claim; empty where none shared the folder then, or there is none."""
    try:
        _, _, *hub = (folder / _CLAIM).read_text().split()
    except FileNotFoundError:
        return ""
    return hub[0] if hub and _HUB.fullmatch(hub[0]) else ""


def _touched(folder: Path) -> datetime:
    """When a part was last added: a folder's time is that of its newest name."""
    return datetime.fromtimestamp(os.stat(folder).st_mtime, UTC)
