"""Uploads in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from adapters.memory.content import MemoryContentStore
from adapters.memory.faults import FaultSwitch, breakable
from hub.application.ports import Claim, Clock, NewUpload, StoredUpload
from hub.application.sealing import PART_BYTES
from hub.errors import ContentLost


@dataclass(slots=True)
class _Upload:
    upload: NewUpload
    touched_at: datetime
    key: bytes = b""
    parts: list[bytes] = field(default_factory=list)
    whole: bool = False
    claim: Claim | None = None


class MemoryUploadStore:
    """The port UploadStore; stricter, as it refuses parts that leave a gap or do not fit."""

    def __init__(self, content: MemoryContentStore, clock: Clock) -> None:
        self._content = content
        self._clock = clock
        self._uploads: dict[UUID, _Upload] = {}
        self.faults = FaultSwitch(self)

    @breakable
    def create(self, upload: NewUpload) -> None:
        """Make room for an upload; FileExistsError for one that is there."""
        if upload.upload_id in self._uploads:
            raise FileExistsError("there is such an upload already")
        self._uploads[upload.upload_id] = _Upload(upload, self._clock())

    @breakable
    def uploads(self) -> Iterator[StoredUpload]:
        """Every upload that was created and not discarded."""
        found = [
            StoredUpload(
                each.upload,
                each.upload.size if each.whole else sum(map(len, each.parts)),
                each.whole,
                each.claim,
                each.touched_at,
            )
            for each in self._uploads.values()
        ]
        return iter(found)

    @breakable
    def upload(self, upload_id: UUID) -> StoredUpload | None:
        """One of them."""
        return next((each for each in self.uploads() if each.upload.upload_id == upload_id), None)

    @breakable
    def append(self, upload_id: UUID, number: int, part: bytes, key: bytes, *, last: bool) -> None:
        """Store the next part, or the last one again; ValueError for any other."""
        upload = self._uploads[upload_id]
        size = min(PART_BYTES, upload.upload.size - number * PART_BYTES)
        ends = (number * PART_BYTES + size) == upload.upload.size
        if number not in (len(upload.parts), len(upload.parts) - 1):
            raise ValueError("parts come one after the other")
        if len(part) != size or last != ends or upload.key not in (b"", key):
            raise ValueError("this is not the part that belongs here")
        upload.key = bytes(key)
        upload.parts[number:] = [bytes(part)]
        upload.touched_at = self._clock()

    @breakable
    def read(self, upload_id: UUID, size: int, stored: int, key: bytes) -> Iterator[bytes]:
        """The first `stored` bytes; ContentLost when they cannot be had."""
        upload = self._uploads[upload_id]
        parts = upload.parts[: -(-stored // PART_BYTES)]
        if sum(map(len, parts)) != stored or (parts and upload.key != key):
            raise ContentLost("parts of the upload are gone")
        return iter(parts)

    @breakable
    def check(self, upload_id: UUID, size: int) -> None:
        """Raise ContentLost unless all of the content is here."""
        if sum(map(len, self._uploads[upload_id].parts)) != size:
            raise ContentLost("parts of the upload are gone")

    @breakable
    def finish(self, upload_id: UUID) -> None:
        """Remember that the content is whole; ValueError when it is not."""
        upload = self._uploads[upload_id]
        if sum(map(len, upload.parts)) != upload.upload.size:
            raise ValueError("something is missing")
        upload.whole = True

    @breakable
    def adopt(self, upload_id: UUID, claim: Claim, content_key: bytes, exchange_key: bytes) -> None:
        """Give the content to an exchange; ValueError when it is not whole or not here."""
        upload = self._uploads[upload_id]
        if not upload.whole or upload.claim is not None or content_key != upload.key:
            raise ValueError("this upload cannot be adopted")
        upload.claim = claim
        content = b"".join(upload.parts)
        self._content.take_over(claim.exchange_id, claim.index, content, exchange_key)
        upload.parts = []

    @breakable
    def give_back(self, upload_id: UUID, exchange_id: UUID) -> None:
        """Undo `adopt` by this exchange; no error when there is nothing to undo."""
        upload = self._uploads[upload_id]
        if upload.claim is None or upload.claim.exchange_id != exchange_id:
            return
        content = self._content.give_back(upload.claim.exchange_id, upload.claim.index)
        if content is not None:
            starts = range(0, len(content), PART_BYTES)
            upload.parts = [content[start : start + PART_BYTES] for start in starts]
        upload.claim = None

    @breakable
    def discard(self, upload_id: UUID) -> None:
        """Forget an upload; no error when there is none."""
        self._uploads.pop(upload_id, None)

    def is_usable(self) -> bool:
        """Always."""
        return True

    @breakable
    def tidy(self) -> None:
        """Nothing is ever left here."""

    def lose(self, upload_id: UUID) -> None:
        """Let the content of an upload be lost, as a broken disk would."""
        self._uploads[upload_id].parts.clear()
