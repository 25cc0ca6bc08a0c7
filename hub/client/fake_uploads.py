"""Uploads at a fake hub: held in memory, resumed at parts of 1 MiB, used once."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hub.errors import (
    ContentMissing,
    DigestMismatch,
    RequestMalformed,
    TooLarge,
    UploadUnknown,
)
from hub.v1 import exchange_service_pb2 as calls

PART_BYTES = 1 << 20
LIMITS = calls.GetLimitsResponse(
    inline_bytes_max=3 * 1024**2,
    attachment_bytes_max=2 * 1024**3,
    attachments_max=64,
    recipients_max=1000,
    part_bytes=PART_BYTES,
    chunk_bytes_max=256 * 1024,
    statement_bytes_max=1024**2,
    batch_max=100,
    uploads_max=256,
    batch_bytes_max=15 * 1024**2,
)


@dataclass(slots=True)
class _Upload:
    upload_id: str
    agency: str
    begun: tuple[int, bytes, str]
    content: bytearray


class FakeUploads:
    """The uploads of all agencies. Not safe for several threads at once."""

    def __init__(self) -> None:
        self._uploads: dict[str, _Upload] = {}

    def begin(self, agency: str, request: calls.BeginUploadRequest) -> calls.BeginUploadResponse:
        """The agency's upload of this content, new or begun before."""
        if request.size > LIMITS.attachment_bytes_max:
            raise TooLarge("an attachment is too large", limit=str(LIMITS.attachment_bytes_max))
        if request.size == 0 or len(request.sha256) != 32:
            raise RequestMalformed("size or sha256 cannot be those of an upload")
        begun = (request.size, request.sha256, request.tag)
        for upload in self._uploads.values():
            if (upload.agency, upload.begun) == (agency, begun):
                break
        else:
            upload = _Upload(str(uuid.uuid4()), agency, begun, bytearray())
            self._uploads[upload.upload_id] = upload
        return calls.BeginUploadResponse(upload_id=upload.upload_id, offset=len(upload.content))

    def take(
        self, agency: str, start: calls.UploadStart, rest: Iterator[calls.UploadContentRequest]
    ) -> calls.UploadContentResponse:
        """Keep what comes, in whole parts; at the end check the digest."""
        upload = self._own(agency, start.upload_id)
        size, sha256, _tag = upload.begun
        if start.offset != len(upload.content):
            raise RequestMalformed("another offset is stored", offset=str(len(upload.content)))
        try:
            for message in rest:
                upload.content += message.data
                if len(upload.content) > size:
                    raise TooLarge("more bytes than stated", limit=str(size))
        finally:
            if len(upload.content) != size:
                del upload.content[len(upload.content) // PART_BYTES * PART_BYTES :]
        if len(upload.content) == size and hashlib.sha256(upload.content).digest() != sha256:
            del self._uploads[upload.upload_id]
            raise DigestMismatch("the upload hashes to another digest than was stated")
        return calls.UploadContentResponse(offset=len(upload.content))

    def contents_of(self, agency: str, request: calls.SubmitDocumentRequest) -> Sequence[bytes]:
        """What a submission sends inline and names, in the order of its attachments."""
        if not request.upload_ids:
            return tuple(request.contents)
        inline = iter(request.contents)
        contents = [
            self._whole(agency, upload_id) if upload_id else next(inline, None)
            for upload_id in request.upload_ids
        ]
        found = tuple(content for content in contents if content is not None)
        if len(found) < len(contents) or next(inline, None) is not None:
            raise ContentMissing("not exactly one content for each attachment")
        return found

    def spend(self, request: calls.SubmitDocumentRequest) -> None:
        """Forget what an accepted submission named."""
        for upload_id in request.upload_ids:
            self._uploads.pop(upload_id, None)

    def _own(self, agency: str, upload_id: str) -> _Upload:
        upload = self._uploads.get(upload_id)
        if upload is None or upload.agency != agency:
            raise UploadUnknown("this agency has no such upload")
        return upload

    def _whole(self, agency: str, upload_id: str) -> bytes:
        upload = self._own(agency, upload_id)
        if len(upload.content) != upload.begun[0]:
            raise ContentMissing("an upload is not whole")
        return bytes(upload.content)
