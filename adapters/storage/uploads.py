"""Content that agencies have uploaded, or are uploading, and no submission has used yet.

`ROOT/uploads/<upload>/` holds

- `record`: whose it is and what it is to become; a folder without one is nobody's;
- `content/`: the parts that are here so far, as in `parts`;
- `whole`: there once all parts are and their digest was right;
- `claim`: which attachment of which exchange it is given to. From then on `content/` is
  either still here or there; only the log knows whether it stays there.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from adapters.storage import parts
from adapters.storage.content import ContentStore
from adapters.storage.folders import sync_folder
from hub.application.ports import Claim, NewUpload, Randomness, StoredUpload
from hub.errors import ContentLost

_NAME = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_UPLOADS = "uploads"
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


class UploadStore:
    """The port UploadStore, beside the content store that adopts what is here."""

    def __init__(self, root: Path, content: ContentStore, randomness: Randomness) -> None:
        """`root` is the content store's, so that both are on one file system; see `make_root`."""
        self._folder = root / _UPLOADS
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
            if (folder / _RECORD).exists():
                yield self._read(folder)

    def append(self, upload_id: UUID, number: int, part: bytes, key: bytes, *, last: bool) -> None:
        """Store the next part; durable on return, its name included."""
        folder = self._of(upload_id) / _CONTENT
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
        try:
            stored = parts.stored_bytes(self._of(upload_id) / _CONTENT, size)
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
        folder = self._of(upload_id)
        place = (claim.exchange_id, claim.index)
        # (1) The content's key, sealed for its new place. If we stop here, a key is left that
        # no exchange opens; the next adoption replaces it.
        parts.write_key(
            folder / _CONTENT, content_key, exchange_key, place, randomness=self._randomness
        )
        sync_folder(folder / _CONTENT)
        # (2) Where it goes, before it goes there. If we stop here, or later, the claim leads
        # back to the content wherever it is; the log knows where it belongs.
        parts.write_durable(folder / _CLAIM, f"{claim.exchange_id} {claim.index}".encode())
        sync_folder(folder)
        # (3) The move.
        self._content.take_over(folder / _CONTENT, *place)

    def give_back(self, upload_id: UUID) -> None:
        """Undo `adopt`, wherever it stopped; no error when there is nothing to undo."""
        folder = self._of(upload_id)
        claim = _read_claim(folder)
        if claim is None:
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
        """Remove what an unfinished `create` or `discard` left."""
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
            touched_at=_touched(content if content.exists() else folder),
        )

    def _of(self, upload_id: UUID) -> Path:
        return self._folder / str(upload_id)


def _read_claim(folder: Path) -> Claim | None:
    try:
        exchange_id, index = (folder / _CLAIM).read_text().split()
    except FileNotFoundError:
        return None
    return Claim(UUID(exchange_id), int(index))


def _touched(folder: Path) -> datetime:
    """When a part was last added: a folder's time is that of its newest name."""
    return datetime.fromtimestamp(os.stat(folder).st_mtime, UTC)
