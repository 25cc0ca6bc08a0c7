"""Attachments, uploads, and the keys they are sealed with."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Protocol
from uuid import UUID


class ContentStore(Protocol):
    """The bytes of attachments, encrypted, in parts of fixed size.

    Untrusted: every part is authenticated on reading. Once `put` returns, the content
    survives a power cut, folder entries included.
    """

    def put(self, exchange_id: UUID, index: int, content: bytes, key: bytes) -> None:
        """Store one attachment of an exchange, sealed under the exchange's key.

        Raises FileExistsError when it is stored already: content never changes.
        """
        ...

    def read(
        self, exchange_id: UUID, index: int, size: int, key: bytes, offset: int
    ) -> Iterator[bytes]:
        """The content from `offset` to `size`; raises ContentLost when it cannot be had."""
        ...

    def check(self, exchange_id: UUID, sizes: Sequence[int]) -> None:
        """Raise ContentLost unless every attachment is there in its full length."""
        ...

    def put_from(
        self, exchange_id: UUID, index: int, source: BinaryIO, size: int, key: bytes
    ) -> None:
        """As `put`, for `size` bytes read from `source` a part at a time."""
        ...

    def discard(self, exchange_id: UUID) -> None:
        """Remove everything of an exchange; no error when there is nothing."""
        ...

    def is_usable(self) -> bool:
        """Whether content can be written and read now."""
        ...

    def exchanges(self) -> Iterator[UUID]:
        """Every exchange that has content here."""
        ...

    def erased_below(self) -> int:
        """As `Erasable`."""
        ...

    def erase(self, exchange_ids: Sequence[UUID], below: int) -> None:
        """As `Erasable`; files are unlinked, what makes them unreadable is the lost key."""
        ...


@dataclass(frozen=True, slots=True)
class NewUpload:
    """Content that an agency announced: how many bytes, and what they will hash to.

    `tag` tells apart uploads of the same content by the same agency.
    """

    upload_id: UUID
    agency: str
    size: int
    sha256: str
    tag: str


@dataclass(frozen=True, slots=True)
class Claim:
    """Which attachment of which exchange an upload is given to."""

    exchange_id: UUID
    index: int


@dataclass(frozen=True, slots=True)
class StoredUpload:
    """An upload as it is found at the start.

    `stored` is how many bytes are there, in whole parts; `whole` that all are and their digest
    was right; `claim` that it was given to an exchange, which may never have been recorded;
    `abandoned` that the hub which did so is gone, where several share the store.
    """

    upload: NewUpload
    stored: int
    whole: bool
    claim: Claim | None
    touched_at: datetime
    abandoned: bool = False


class UploadStore(Protocol):
    """Content on its way in, encrypted in parts of 1 MiB, until an exchange adopts it.

    Untrusted: every part is authenticated on reading. Once a method returns, what it wrote
    survives a power cut, folder entries included.
    """

    def create(self, upload: NewUpload) -> None:
        """Make room for an upload."""
        ...

    def uploads(self) -> Iterator[StoredUpload]:
        """Every upload that was created and not discarded."""
        ...

    def upload(self, upload_id: UUID) -> StoredUpload | None:
        """One of them."""
        ...

    def append(self, upload_id: UUID, number: int, part: bytes, key: bytes, *, last: bool) -> None:
        """Store the next part, sealed under the upload's key; the same number again replaces it.

        Where several hubs share the store, a part that another one has stored stays: OSError.
        """
        ...

    def read(self, upload_id: UUID, size: int, stored: int, key: bytes) -> Iterator[bytes]:
        """The first `stored` bytes of content of this size. Raises ContentLost."""
        ...

    def check(self, upload_id: UUID, size: int) -> None:
        """Raise ContentLost unless all of the content is here in its full length."""
        ...

    def finish(self, upload_id: UUID) -> None:
        """Remember that the content is whole and its digest was right."""
        ...

    def adopt(self, upload_id: UUID, claim: Claim, content_key: bytes, exchange_key: bytes) -> None:
        """Give the content to an exchange: from then on it lies in the ContentStore.

        The content's key is kept there, sealed under the exchange's.
        """
        ...

    def give_back(self, upload_id: UUID, exchange_id: UUID) -> None:
        """Undo `adopt` by this exchange, wherever it stopped; no error when there is nothing to."""
        ...

    def discard(self, upload_id: UUID) -> None:
        """Forget an upload and all of its content that no exchange has adopted."""
        ...

    def is_usable(self) -> bool:
        """Whether content can be written and read now."""
        ...

    def tidy(self) -> None:
        """Remove what an unfinished `create` or `discard` left."""
        ...


class DocumentKeys(Protocol):
    """One wrapped key an exchange, in a store of their own with backups of their own.

    An upload has one too, until it is adopted.

    Trusted for erasure: whoever keeps a copy can still read what was erased.
    """

    def add(self, wrapped: Mapping[UUID, bytes]) -> None:
        """Store keys durably; adding the same again changes nothing.

        Raises ValueError when an exchange has another key already.
        """
        ...

    def get(self, exchange_id: UUID) -> bytes | None:
        """The wrapped key of an exchange."""
        ...

    def find(self, exchange_ids: Collection[UUID]) -> dict[UUID, bytes]:
        """The wrapped keys of those exchanges that have one."""
        ...

    def discard(self, exchange_ids: Sequence[UUID]) -> None:
        """Remove keys; no error when there are none."""
        ...

    def erased_below(self) -> int:
        """As `Erasable`."""
        ...

    def erase(self, exchange_ids: Sequence[UUID], below: int) -> None:
        """As `Erasable`: `discard`, and remembered."""
        ...


class KeyCustody(Protocol):
    """Wraps document keys. Trusted: whoever holds it reads every document not yet erased."""

    def wrap(self, key: bytes) -> bytes:
        """Encrypt a 32-byte key."""
        ...

    def unwrap(self, wrapped: bytes) -> bytes:
        """Decrypt it again. Raises ContentLost for what was not wrapped here."""
        ...
