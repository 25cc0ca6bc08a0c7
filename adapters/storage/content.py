"""The content of exchanges: a folder of encrypted parts for each attachment.

`ROOT/<last 2 hex digits of the exchange>/<exchange>/<attachment>/`, with attachments counted
from 0; what lies in it, `parts` says. Uploads lie in `ROOT/uploads` until a submission adopts
them, so that adopting is a rename. `ROOT/erased-below` holds the position up to which erasures
by law have been carried out here.
"""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from adapters.storage import parts
from adapters.storage.folders import sync_folder
from hub.application.ports import Randomness
from hub.application.sealing import KEY_BYTES, PART_BYTES
from hub.errors import ContentLost

__all__ = ["PART_BYTES", "ContentStore"]

# A file beside the content, so that it is backed up and restored with it.
_ERASED_BELOW = "erased-below"
_DIGITS_MAX = 20


class ContentStore:
    """The port ContentStore.

    An attachment appears whole or not at all: its parts are written into a folder under
    another name, synced, and only then renamed. It never changes afterwards.
    """

    def __init__(self, root: Path, randomness: Randomness) -> None:
        """`root` is never made here: where it is missing, a disk may not be mounted.

        `randomness` makes the nonces of parts.
        """
        self._root = root
        self._randomness = randomness
        # Folders of `root` known to be durable; the parent is synced once for each, even if
        # it was there already: whoever made it may have crashed before syncing.
        self._durable_shards: set[Path] = set()

    def put(self, exchange_id: UUID, index: int, content: bytes, key: bytes) -> None:
        """Store one attachment of an exchange, sealed under the exchange's key of 32 bytes.

        Raises FileExistsError when the attachment is stored already, and other OSErrors
        when the disk fails; what is then left is nothing, or the whole attachment.
        """
        self.put_from(exchange_id, index, io.BytesIO(content), len(content), key)

    def put_from(
        self, exchange_id: UUID, index: int, source: BinaryIO, size: int, key: bytes
    ) -> None:
        """As `put`, for `size` bytes read from `source`, one part in memory.

        Raises ValueError when it holds fewer.
        """
        folder = self._made_folder(exchange_id)
        final = folder / str(index)
        if final.exists():
            raise FileExistsError(f"attachment {index} of {exchange_id} is stored already")
        unfinished = Path(tempfile.mkdtemp(prefix=f".{index}-", dir=folder))
        try:
            # (1) The parts, their key, and the names of all. If we stop here, a folder with a
            # dot is left, which is nobody's content; it goes when the exchange is swept.
            self._write(unfinished, source, size, key, (exchange_id, index))
            sync_folder(unfinished)
            # (2) The attachment's own name. If we stop here, it may or may not be found.
            unfinished.rename(final)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        # (3) Every folder that may be new, from the inside out.
        self._sync(folder)

    def take_over(self, content: Path, exchange_id: UUID, index: int) -> None:
        """Make a folder of parts and their key an attachment, in one step. Durable on return."""
        folder = self._made_folder(exchange_id)
        # What the folder moves into must be durable before it leaves the place it was in.
        self._sync(folder)
        parts.move_folder(content, folder / str(index))

    def give_back(self, content: Path, exchange_id: UUID, index: int) -> None:
        """Undo `take_over`; no error when the content is back already."""
        folder = self._exchange_folder(exchange_id) / str(index)
        if folder.exists():
            parts.move_folder(folder, content)

    def read(
        self, exchange_id: UUID, index: int, size: int, key: bytes, offset: int
    ) -> Iterator[bytes]:
        """The content from `offset` to `size`, in pieces of at most 1 MiB, one in memory.

        Raises ContentLost, perhaps after some good pieces, as soon as a part is missing,
        cut off, changed, or stood somewhere else; ValueError for an impossible offset.
        """
        if not 0 <= offset <= size:
            raise ValueError("the offset lies outside the content")
        return self._read(exchange_id, index, size, key, offset)

    def check(self, exchange_id: UUID, sizes: Sequence[int]) -> None:
        """Raise ContentLost unless every attachment is there in its full length.

        Looks at names and sizes only; that the bytes are right is known on reading.
        """
        for index, size in enumerate(sizes):
            with _lost(exchange_id, index):
                parts.require_whole(self._exchange_folder(exchange_id) / str(index), size)

    def discard(self, exchange_id: UUID) -> None:
        """Remove everything of an exchange; no error when there is nothing.

        The parts are unlinked, not overwritten: what makes them unreadable is that the
        exchange's key is destroyed.
        """
        folder = self._exchange_folder(exchange_id)
        if folder.exists():
            shutil.rmtree(folder)
            sync_folder(folder.parent)

    def erased_below(self) -> int:
        """Every erasure recorded at a lower position has been carried out in this folder.

        Raises OSError when the mark cannot be read.
        """
        try:
            text = (self._root / _ERASED_BELOW).read_text(encoding="ascii")
        except FileNotFoundError:
            return 0
        # A damaged mark only costs time: everything is erased once more.
        return int(text) if text.isascii() and text.isdigit() and len(text) < _DIGITS_MAX else 0

    def erase(self, exchange_ids: Sequence[UUID], below: int) -> None:
        """Remove everything of exchanges that were erased by law, then remember `below`."""
        for exchange_id in exchange_ids:
            self.discard(exchange_id)
        unfinished = self._root / f"{_ERASED_BELOW}.new"
        with unfinished.open("w", encoding="ascii") as file:
            file.write(str(below))
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(self._root / _ERASED_BELOW)
        sync_folder(self._root)

    def is_usable(self) -> bool:
        """Whether content can be written now: the folder is there and takes files."""
        return os.access(self._root, os.R_OK | os.W_OK | os.X_OK)

    def exchanges(self) -> Iterator[UUID]:
        """Every exchange that has content here, unfinished attachments included.

        Whatever else lies in the folder is passed over.
        """
        for shard in self._root.iterdir():
            if shard.is_dir():
                for folder in shard.iterdir():
                    exchange_id = _parse_uuid(folder.name)
                    if exchange_id and folder == self._exchange_folder(exchange_id):
                        yield exchange_id

    def attachments(self, exchange_id: UUID) -> Iterator[tuple[int, Path]]:
        """The folder of each whole attachment of an exchange."""
        for folder in sorted(self._exchange_folder(exchange_id).iterdir()):
            if folder.name.isdigit():
                yield int(folder.name), folder

    def _read(
        self, exchange_id: UUID, index: int, size: int, key: bytes, offset: int
    ) -> Iterator[bytes]:
        folder = self._exchange_folder(exchange_id) / str(index)
        with _lost(exchange_id, index):
            content_key = parts.read_key(folder, key, (exchange_id, index))
            yield from parts.read_parts(folder, size, content_key, offset)

    def _write(
        self, folder: Path, source: BinaryIO, size: int, key: bytes, place: tuple[UUID, int]
    ) -> None:
        content_key = self._randomness(KEY_BYTES)
        parts.write_key(folder, content_key, key, place, self._randomness)
        last = parts.last_part(size)
        for number in range(last + 1):
            expected = min(PART_BYTES, size - number * PART_BYTES)
            part = source.read(expected)
            if len(part) != expected:
                raise ValueError("the source is shorter than was said")
            parts.write_part(
                folder,
                number,
                part,
                content_key,
                last=number == last,
                randomness=self._randomness,
            )

    def _exchange_folder(self, exchange_id: UUID) -> Path:
        # The last digits are random; the first are the time, the same for years.
        return self._root / exchange_id.hex[-2:] / str(exchange_id)

    def _made_folder(self, exchange_id: UUID) -> Path:
        folder = self._exchange_folder(exchange_id)
        # Never with parents: a store whose own folder vanished must say so, not begin another.
        for each in (folder.parent, folder):
            each.mkdir(mode=0o700, exist_ok=True)
        return folder

    def _sync(self, folder: Path) -> None:
        """Make an exchange's folder durable, with its entries and all that leads to it."""
        sync_folder(folder)
        sync_folder(folder.parent)
        if folder.parent not in self._durable_shards:
            sync_folder(self._root)
            self._durable_shards.add(folder.parent)


def _parse_uuid(name: str) -> UUID | None:
    try:
        return UUID(name)
    except ValueError:
        return None


@contextmanager
def _lost(exchange_id: UUID, index: int) -> Iterator[None]:
    """Whatever keeps a part from being read: to the reader it is the same loss."""
    try:
        yield
    except ContentLost as error:
        raise _content_lost(exchange_id, index, error.message) from error
    except OSError as error:
        # Its words hold paths of the hub's disk, which are nobody else's business.
        why = "it is not there" if isinstance(error, FileNotFoundError) else "the disk fails"
        raise _content_lost(exchange_id, index, why) from error


def _content_lost(exchange_id: UUID, index: int, why: str) -> ContentLost:
    return ContentLost(
        f"attachment {index} can no longer be read from the hub's disk: {why}",
        exchange=str(exchange_id),
        attachment=str(index),
    )
