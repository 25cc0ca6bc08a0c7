"""The content of exchanges in a bucket: one object for each attachment.

`exchanges/<exchange>/<attachment>` holds the content's sealed key, then its sealed parts one
after the other, the same bytes as the files of `parts`. An object appears whole or not at all, so
there is no renaming. `erased-below` holds the position up to which erasures by law have been
carried out here, `log` the log whose content this is.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from adapters.storage import parts
from adapters.storage.objects import Bucket, ObjectDiffers
from hub.application.ports import Randomness
from hub.application.sealing import KEY_BYTES, PART_BYTES, SEAL_OVERHEAD_BYTES, seal, unseal
from hub.errors import ContentLost

_EXCHANGES, _ERASED_BELOW, _LOG = "exchanges/", "erased-below", "log"
_KEY_LENGTH = KEY_BYTES + SEAL_OVERHEAD_BYTES
_DIGITS_MAX = 20
_LOG_CHARS = 64


class ObjectContentStore:
    """The port ContentStore over a bucket; it raises OSError while that cannot be asked."""

    def __init__(self, bucket: Bucket, randomness: Randomness) -> None:
        """`randomness` makes keys and nonces."""
        self._bucket = bucket
        self._randomness = randomness

    def __str__(self) -> str:
        return str(self._bucket.place)

    def put(self, exchange_id: UUID, index: int, content: bytes, key: bytes) -> None:
        """Store one attachment; FileExistsError when it is stored already."""
        self.put_from(exchange_id, index, io.BytesIO(content), len(content), key)

    def put_from(
        self, exchange_id: UUID, index: int, source: BinaryIO, size: int, key: bytes
    ) -> None:
        """As `put`, for `size` bytes read from `source`, a few parts in memory."""
        self._store(exchange_id, index, self._sealed(source, size, key, (exchange_id, index)))

    def take_over(self, content: Path, exchange_id: UUID, index: int) -> None:
        """Store a folder of parts and their key as an attachment. The folder stays as it is."""
        self._store(exchange_id, index, parts.sealed_files(content))

    def has(self, exchange_id: UUID, index: int) -> bool:
        """Whether an attachment is here; then it is whole."""
        return self._bucket.size(_name(exchange_id, index)) is not None

    def give_back(self, content: Path, exchange_id: UUID, index: int) -> None:
        """Undo `take_over`; no error when there is nothing. `content` has been there all along."""
        self._bucket.remove(_name(exchange_id, index))

    def read(
        self, exchange_id: UUID, index: int, size: int, key: bytes, offset: int
    ) -> Iterator[bytes]:
        """The content from `offset` to `size`, in pieces of at most 1 MiB, one in memory.

        Raises ContentLost as the folder does; OSError, perhaps after some good pieces, while the
        store cannot be asked: whoever comes again may go on where it broke.
        """
        if not 0 <= offset <= size:
            raise ValueError("the offset lies outside the content")
        return self._read(exchange_id, index, size, key, offset)

    def check(self, exchange_id: UUID, sizes: Sequence[int]) -> None:
        """Raise ContentLost unless every attachment is there in its full length."""
        for index, size in enumerate(sizes):
            found = self._bucket.size(_name(exchange_id, index))
            if found != _length(size):
                why = "it is not there" if found is None else "it was cut off, or has grown"
                raise _content_lost(exchange_id, index, why)

    def discard(self, exchange_id: UUID) -> None:
        """Remove everything of an exchange, what was never finished included."""
        self._bucket.discard(f"{_EXCHANGES}{exchange_id}/")

    def erased_below(self) -> int:
        """Every erasure recorded at a lower position has been carried out in this bucket."""
        text = self._bucket.get_small(_ERASED_BELOW, _DIGITS_MAX)
        # A damaged mark only costs time: everything is erased once more.
        return int(text) if text and text.isdigit() and len(text) < _DIGITS_MAX else 0

    def erase(self, exchange_ids: Sequence[UUID], below: int) -> None:
        """Remove everything of exchanges that were erased by law, then remember `below`.

        Raises OSError, and remembers nothing, when the bucket has come to keep versions or to
        lock objects: what was deleted would still be there.
        """
        if exchange_ids:
            self._bucket.require_forgetful()
        for exchange_id in exchange_ids:
            self.discard(exchange_id)
        self._bucket.put(_ERASED_BELOW, [b"%d" % below])

    def is_usable(self) -> bool:
        """Whether the bucket answers now."""
        try:
            self._bucket.require_reachable()
        except OSError:
            return False
        return True

    def exchanges(self) -> Iterator[UUID]:
        """Every exchange that has content here, unfinished attachments included; each once."""
        begun = {name.split("/")[1] for name in self._bucket.unfinished(_EXCHANGES)}
        yield from (each for name in begun if (each := _parse_uuid(name)))
        for name in self._bucket.folders(_EXCHANGES):
            if name not in begun and (each := _parse_uuid(name)):
                yield each

    def belongs_to(self) -> str | None:
        """The log whose content this is; None when nobody has begun here."""
        text = self._bucket.get_small(_LOG, _LOG_CHARS)
        return None if text is None else text.decode("ascii", "replace")

    def begin(self, log: str) -> None:
        """Take the place for the content of a log, named by a digest in hex."""
        self._bucket.put(_LOG, [log.encode("ascii")])

    def require_forgetful(self) -> None:
        """Raise OSError unless what is deleted here is gone."""
        self._bucket.require_forgetful()

    def close(self) -> None:
        """Drop the connections."""
        self._bucket.close()

    def _store(self, exchange_id: UUID, index: int, sealed: Iterator[bytes]) -> None:
        # Exchanges have fresh ids and one hub each: nobody stores the same in between.
        if self.has(exchange_id, index):
            raise FileExistsError(f"attachment {index} of {exchange_id} is stored already")
        self._bucket.put(_name(exchange_id, index), sealed)

    def _sealed(
        self, source: BinaryIO, size: int, key: bytes, place: tuple[UUID, int]
    ) -> Iterator[bytes]:
        content_key = self._randomness(KEY_BYTES)
        yield seal(key, content_key, parts.key_context(place), self._randomness)
        last = parts.last_part(size)
        for number in range(last + 1):
            expected = parts.part_size(size, number)
            part = source.read(expected)
            if len(part) != expected:
                raise ValueError("the source is shorter than was said")
            context = parts.part_context(number, last=number == last)
            yield seal(content_key, part, context, self._randomness)

    def _read(
        self, exchange_id: UUID, index: int, size: int, key: bytes, offset: int
    ) -> Iterator[bytes]:
        with _lost(exchange_id, index):
            first, skipped = divmod(offset, PART_BYTES)
            blocks = self._blocks(_name(exchange_id, index), size, first)
            sealed_key = next(blocks)
            content_key = _opened(
                "its key", key, sealed_key, parts.key_context((exchange_id, index))
            )
            last = parts.last_part(size)
            for number, block in enumerate(blocks, start=first):
                context = parts.part_context(number, last=number == last)
                part = _opened(f"part {number}", content_key, block, context)
                if piece := part[skipped:]:
                    yield piece
                skipped = 0

    def _blocks(self, name: str, size: int, first: int) -> Iterator[bytes]:
        """The sealed key, then the sealed parts from one on."""
        total = _length(size)
        numbers = range(first, parts.last_part(size) + 1)
        lengths = [parts.part_size(size, each) + SEAL_OVERHEAD_BYTES for each in numbers]
        if first == 0:
            yield from self._bucket.blocks(name, 0, [_KEY_LENGTH, *lengths], total)
            return
        yield from self._bucket.blocks(name, 0, [_KEY_LENGTH], total)
        if lengths:
            yield from self._bucket.blocks(name, total - sum(lengths), lengths, total)


def _name(exchange_id: UUID, index: int) -> str:
    # By time, as the ids are: what was stored last lies together.
    return f"{_EXCHANGES}{exchange_id}/{index}"


def _length(size: int) -> int:
    """How long the object of content of this size is."""
    return _KEY_LENGTH + size + (parts.last_part(size) + 1) * SEAL_OVERHEAD_BYTES


def _opened(what: str, key: bytes, sealed: bytes, context: bytes) -> bytes:
    try:
        return unseal(key, sealed, context)
    except ContentLost:
        raise ContentLost(f"{what} was changed, or belongs somewhere else") from None


def _parse_uuid(name: str) -> UUID | None:
    try:
        return UUID(name)
    except ValueError:
        return None


@contextmanager
def _lost(exchange_id: UUID, index: int) -> Iterator[None]:
    try:
        yield
    except ContentLost as error:
        raise _content_lost(exchange_id, index, error.message) from error
    except FileNotFoundError as error:
        raise _content_lost(exchange_id, index, "it is not there") from error
    except ObjectDiffers as error:
        raise _content_lost(exchange_id, index, "it was cut off, or has grown") from error


def _content_lost(exchange_id: UUID, index: int, why: str) -> ContentLost:
    return ContentLost(
        f"attachment {index} can no longer be read from the hub's store: {why}",
        exchange=str(exchange_id),
        attachment=str(index),
    )
