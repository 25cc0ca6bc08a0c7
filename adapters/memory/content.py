"""Content in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import BinaryIO
from uuid import UUID

from adapters.memory.faults import FaultSwitch, breakable
from hub.errors import ContentLost

# Small, so that whoever reads has to put pieces together.
PIECE_BYTES = 4096
_KEY_BYTES = 32


class MemoryContentStore:
    """The port ContentStore; it opens content only with the key it was put with."""

    def __init__(self) -> None:
        self._attachments: dict[tuple[UUID, int], tuple[bytes, bytes]] = {}
        self._erased_below = 0
        self.faults = FaultSwitch(self)

    @breakable
    def put(self, exchange_id: UUID, index: int, content: bytes, key: bytes) -> None:
        """Store one attachment; FileExistsError when it is stored already."""
        if len(key) != _KEY_BYTES:
            raise ValueError("a key has 32 bytes")
        if (exchange_id, index) in self._attachments:
            raise FileExistsError(f"attachment {index} of {exchange_id} is stored already")
        self._attachments[exchange_id, index] = (bytes(content), bytes(key))

    def put_from(
        self, exchange_id: UUID, index: int, source: BinaryIO, size: int, key: bytes
    ) -> None:
        """As `put`, for bytes read from `source`."""
        content = source.read(size)
        if len(content) != size:
            raise ValueError("the source is shorter than was said")
        self.put(exchange_id, index, content, key)

    @breakable
    def read(
        self, exchange_id: UUID, index: int, size: int, key: bytes, offset: int
    ) -> Iterator[bytes]:
        """The content from `offset` to `size`; raises ContentLost when it cannot be had."""
        if not 0 <= offset <= size:
            raise ValueError("the offset lies outside the content")
        return self._pieces(exchange_id, index, size, key, offset)

    def _pieces(
        self, exchange_id: UUID, index: int, size: int, key: bytes, offset: int
    ) -> Iterator[bytes]:
        content, its_key = self._attachments.get((exchange_id, index), (b"", b""))
        if its_key != key or len(content) != size:
            raise _content_lost(exchange_id, index)
        for start in range(offset, size, PIECE_BYTES):
            yield content[start : start + PIECE_BYTES]

    @breakable
    def check(self, exchange_id: UUID, sizes: Sequence[int]) -> None:
        """Raise ContentLost unless every attachment is there in its full length."""
        for index, size in enumerate(sizes):
            content, key = self._attachments.get((exchange_id, index), (b"", b""))
            if not key or len(content) != size:
                raise _content_lost(exchange_id, index)

    @breakable
    def discard(self, exchange_id: UUID) -> None:
        """Remove everything of an exchange; no error when there is nothing."""
        for place in [place for place in self._attachments if place[0] == exchange_id]:
            del self._attachments[place]

    @breakable
    def erased_below(self) -> int:
        """Every erasure recorded at a lower position has been carried out here."""
        return self._erased_below

    @breakable
    def erase(self, exchange_ids: Sequence[UUID], below: int) -> None:
        """Remove everything of these exchanges, then remember `below`."""
        for exchange_id in exchange_ids:
            self.discard(exchange_id)
        self._erased_below = below

    @breakable
    def is_usable(self) -> bool:
        """Always, unless a fault is armed."""
        return True

    @breakable
    def exchanges(self) -> Iterator[UUID]:
        """Every exchange that has content here."""
        return iter({exchange_id for exchange_id, _index in self._attachments})

    def take_over(self, exchange_id: UUID, index: int, content: bytes, key: bytes) -> None:
        """Adopt an upload's content; called by the upload store only."""
        self._attachments[exchange_id, index] = (content, key)

    def give_back(self, exchange_id: UUID, index: int) -> bytes | None:
        """Undo `take_over`: the content, or None when it is not here."""
        content, _key = self._attachments.pop((exchange_id, index), (None, b""))
        return content

    def lose(self, exchange_id: UUID, index: int) -> None:
        """Let one attachment be lost, as a broken disk would."""
        del self._attachments[exchange_id, index]


def _content_lost(exchange_id: UUID, index: int) -> ContentLost:
    return ContentLost(
        f"attachment {index} can no longer be read from the hub's disk",
        exchange=str(exchange_id),
        attachment=str(index),
    )
