"""The bytes of attachments: encrypted parts of fixed size in a folder.

`ROOT/<last 2 hex digits of the exchange>/<exchange>/<attachment>/<part>`, with attachments
counted from 0 and parts from 00000000.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

from adapters.storage.folders import sync_folder
from hub.application.ports import Randomness
from hub.application.sealing import SEAL_OVERHEAD_BYTES, seal, unseal
from hub.errors import ContentLost

# So much plaintext in each part but the last, which holds the rest.
PART_BYTES = 1 << 20
_PARTS_MAX = 10**8


class ContentStore:
    """The port ContentStore.

    An attachment appears whole or not at all: its parts are written into a folder under
    another name, synced, and only then renamed. It never changes afterwards.
    """

    def __init__(self, root: Path, randomness: Randomness) -> None:
        """`root` is created if it is not there. `randomness` makes the nonces of parts."""
        self._root = root
        self._randomness = randomness
        # Folders of `root` known to be durable; the parent is synced once for each, even if
        # it was there already: whoever made it may have crashed before syncing.
        self._durable_shards: set[Path] = set()
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        sync_folder(root.absolute().parent)

    def put(self, exchange_id: UUID, index: int, content: bytes, key: bytes) -> None:
        """Store one attachment of an exchange, sealed under the exchange's key of 32 bytes.

        Raises FileExistsError when the attachment is stored already, and other OSErrors
        when the disk fails; what is then left is nothing, or the whole attachment.
        """
        folder = self._exchange_folder(exchange_id)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        final = folder / str(index)
        if final.exists():
            raise FileExistsError(f"attachment {index} of {exchange_id} is stored already")
        unfinished = Path(tempfile.mkdtemp(prefix=f".{index}-", dir=folder))
        try:
            # (1) The parts and their names. If we stop here, a folder with a dot is left,
            # which is nobody's content; it goes when the exchange is swept.
            for number, part in enumerate(_split(content)):
                context = _context(exchange_id, index, number, last=number == _last(len(content)))
                _write_synced(
                    unfinished / _name(number), seal(key, part, context, self._randomness)
                )
            sync_folder(unfinished)
            # (2) The attachment's own name. If we stop here, it may or may not be found.
            unfinished.rename(final)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        # (3) Every folder that may be new, from the inside out.
        sync_folder(folder)
        sync_folder(folder.parent)
        self._sync_shard(folder.parent)

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
                folder = self._exchange_folder(exchange_id) / str(index)
                found = {part.name: part.stat().st_size for part in os.scandir(folder)}
            for number in range(_last(size) + 1):
                sealed_size = _part_size(size, number) + SEAL_OVERHEAD_BYTES
                if found.get(_name(number)) != sealed_size:
                    raise _content_lost(exchange_id, index)

    def discard(self, exchange_id: UUID) -> None:
        """Remove everything of an exchange; no error when there is nothing.

        The parts are unlinked, not overwritten: what makes them unreadable is that the
        exchange's key is destroyed.
        """
        folder = self._exchange_folder(exchange_id)
        if folder.exists():
            shutil.rmtree(folder)
            sync_folder(folder.parent)

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

    def _read(
        self, exchange_id: UUID, index: int, size: int, key: bytes, offset: int
    ) -> Iterator[bytes]:
        # An empty attachment has one empty part, which is opened like any other.
        first, skipped = divmod(offset, PART_BYTES)
        for number in range(first, _last(size) + 1):
            part = self._open_part(exchange_id, index, number, size, key)
            if piece := part[skipped:]:
                yield piece
            skipped = 0

    def _open_part(
        self, exchange_id: UUID, index: int, number: int, size: int, key: bytes
    ) -> bytes:
        length = _part_size(size, number)
        path = self._exchange_folder(exchange_id) / str(index) / _name(number)
        with _lost(exchange_id, index):
            with path.open("rb") as file:
                # One byte more than there should be tells a part that is too long, and
                # keeps a file that grew to gigabytes out of memory.
                sealed = file.read(length + SEAL_OVERHEAD_BYTES + 1)
            context = _context(exchange_id, index, number, last=number == _last(size))
            part = unseal(key, sealed, context)
        if len(part) != length:
            raise _content_lost(exchange_id, index)
        return part

    def _exchange_folder(self, exchange_id: UUID) -> Path:
        # The last digits are random; the first are the time, the same for years.
        return self._root / exchange_id.hex[-2:] / str(exchange_id)

    def _sync_shard(self, shard: Path) -> None:
        if shard not in self._durable_shards:
            sync_folder(self._root)
            self._durable_shards.add(shard)


def _context(exchange_id: UUID, index: int, number: int, *, last: bool) -> bytes:
    """What a part is bound to: it opens nowhere else, and nothing can be cut off behind it."""
    place = b"%d %d %s" % (index, number, b"last" if last else b"more")
    return b"lienthong content v1\n" + exchange_id.bytes + b"\n" + place


def _split(content: bytes) -> Iterator[bytes]:
    for number in range(_last(len(content)) + 1):
        yield content[number * PART_BYTES : (number + 1) * PART_BYTES]


def _last(size: int) -> int:
    """The number of the last part of an attachment of this size."""
    return max(0, (size - 1) // PART_BYTES)


def _part_size(size: int, number: int) -> int:
    return min(PART_BYTES, size - number * PART_BYTES)


def _name(number: int) -> str:
    if number >= _PARTS_MAX:
        raise ValueError("an attachment has at most a hundred million parts")
    return f"{number:08d}"


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


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
    except (OSError, ContentLost) as error:
        raise _content_lost(exchange_id, index) from error


def _content_lost(exchange_id: UUID, index: int) -> ContentLost:
    return ContentLost(
        f"attachment {index} can no longer be read from the hub's disk",
        exchange=str(exchange_id),
        attachment=str(index),
    )
