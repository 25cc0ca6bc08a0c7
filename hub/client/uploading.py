"""Sending a document whose content is too large for the call itself: upload first, then name it.

Nothing about an upload needs to be written down here. The hub finds an upload again by the
content's size and digest and by a tag, and the tag is made of the request id and the
attachment's number, which the journal holds. So a client that crashed, and a hub that did,
go on where the last whole part ended.
"""

from __future__ import annotations

import asyncio
from asyncio import to_thread
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import grpc

from hub.client.answers import to_wire
from hub.client.errors import HubUnreachable, StateDamaged, UnexpectedAnswer, error_of
from hub.client.journal import Entry, Journal
from hub.client.line import Line
from hub.client.retry import Meaning, given_up, is_repeatable
from hub.errors import RequestUnknown, UploadUnknown
from hub.proof.envelope import Attachment
from hub.proof.statements import Envelope, read_statement
from hub.v1 import exchange_service_pb2 as calls

CHUNK_BYTES = 256 * 1024

Progress = Callable[[str, int, int], None]
"""Told now and then how far an attachment is: its name, bytes done, bytes in all."""


def no_progress(name: str, done: int, total: int) -> None:
    """Nobody wants to know."""


async def submit(
    line: Line, journal: Journal, entry: Entry, progress: Progress
) -> calls.SubmitDocumentResponse:
    """Send an envelope of the journal, uploading first what is too large for the call.

    Raises the hub's refusal, HubUnreachable, UnexpectedAnswer and StateDamaged.
    """
    request = await document(journal, entry)
    if not entry.uploads:
        return await line.call(line.exchange.SubmitDocument, request)
    # Accepted before a crash of ours, the uploads are spent: two gigabytes for nothing.
    if (answered := await _answered(line, entry)) is not None:
        return answered
    attempt = 0
    while True:
        del request.upload_ids[:]
        request.upload_ids.extend(await _upload_all(line, journal, entry, progress))
        try:
            return await line.call(line.exchange.SubmitDocument, request)
        except UploadUnknown as forgotten:
            # Forgotten between two calls; or the first answer was lost and this one is late.
            attempt += 1
            if attempt >= line.policy.attempts_max:
                raise given_up(attempt, forgotten) from forgotten


async def document(journal: Journal, entry: Entry) -> calls.SubmitDocumentRequest:
    """The request for an envelope of the journal, its uploads not named yet.

    Raises StateDamaged.
    """
    contents = await to_thread(journal.contents_of, entry)
    return calls.SubmitDocumentRequest(envelope=to_wire(entry.statement), contents=contents)


async def _answered(line: Line, entry: Entry) -> calls.SubmitDocumentResponse | None:
    request = calls.GetSubmissionRequest(request_id=entry.request_id)
    try:
        response = await line.call(line.exchange.GetSubmission, request)
    except RequestUnknown:
        return None
    return calls.SubmitDocumentResponse(acceptance=response.acceptance)


async def _upload_all(line: Line, journal: Journal, entry: Entry, progress: Progress) -> list[str]:
    """The upload of each attachment, or an empty text where its content goes with the call."""
    envelope = read_statement(entry.statement)
    if not isinstance(envelope, Envelope):
        raise StateDamaged("the journal holds uploads for what is no envelope")
    upload_ids = [""] * len(envelope.document.attachments)
    for index in entry.uploads:
        attachment = envelope.document.attachments[index]
        tag = f"{entry.request_id}/{index}"
        path = journal.path_of(entry, index)
        upload_ids[index] = await _Upload(line, attachment, path, tag, progress).whole()
    return upload_ids


@dataclass(slots=True)
class _Upload:
    """One attachment on its way to the hub."""

    line: Line
    attachment: Attachment
    path: Path
    tag: str
    progress: Progress
    unreadable: OSError | None = None

    async def whole(self) -> str:
        """Upload until all of it is there; the upload's id."""
        attempt, furthest = 0, 0
        while True:
            begun = await self._begin()
            if begun.offset > furthest:
                # The content is finite, so attempts that bring some of it are not counted.
                attempt, furthest = 0, begun.offset
            failure, error = await self._once(begun)
            if error is None:
                return begun.upload_id
            if self.unreadable is not None:
                raise StateDamaged(f"{self.path} cannot be read") from self.unreadable
            if not (is_repeatable(error) or isinstance(error, UploadUnknown)):
                raise error from failure
            attempt += 1
            if attempt >= self.line.policy.attempts_max:
                raise given_up(attempt, error) from failure
            await self.line.policy.pause(attempt - 1, failure)

    async def _begin(self) -> calls.BeginUploadResponse:
        request = calls.BeginUploadRequest(
            size=self.attachment.size, sha256=bytes.fromhex(self.attachment.sha256), tag=self.tag
        )
        begun = await self.line.call(self.line.exchange.BeginUpload, request)
        if begun.offset > self.attachment.size:
            raise UnexpectedAnswer("the hub has more of an upload than there is")
        return begun

    async def _once(
        self, begun: calls.BeginUploadResponse
    ) -> tuple[grpc.RpcError | None, Meaning | None]:
        """Send what is missing over one stream; what broke it, and what that means."""
        method = self.line.exchange.UploadContent
        try:
            call = method(self._messages(begun), timeout=self.line.policy.stream_deadline_s)
            response = await call
        except grpc.RpcError as failure:
            return failure, _meaning(failure)
        except asyncio.CancelledError:
            # gRPC itself cancels a call whose message it could not write.
            if (task := asyncio.current_task()) is None or task.cancelling():
                raise
            return None, HubUnreachable("the line broke while it was written to")
        if response.offset != self.attachment.size:
            return None, HubUnreachable("the stream of an upload ended too early")
        return None, None

    async def _messages(
        self, begun: calls.BeginUploadResponse
    ) -> AsyncIterator[calls.UploadContentRequest]:
        start = calls.UploadStart(upload_id=begun.upload_id, offset=begun.offset)
        yield calls.UploadContentRequest(start=start)
        done, size = begun.offset, self.attachment.size
        self.progress(self.attachment.name, done, size)
        try:
            with await to_thread(self.path.open, "rb") as file:
                file.seek(done)
                while chunk := await to_thread(file.read, CHUNK_BYTES):
                    yield calls.UploadContentRequest(data=chunk)
                    done += len(chunk)
                    self.progress(self.attachment.name, done, size)
        except OSError as error:
            # Ends the stream: whatever we raise, gRPC would only say that it was cancelled.
            self.unreadable = error


def _meaning(failure: grpc.RpcError) -> Meaning:
    error = error_of(failure)
    # What gRPC says when the line breaks while a message is written; `repeat` never sees it,
    # since a unary call has but one message.
    if isinstance(error, UnexpectedAnswer) and failure.code() is grpc.StatusCode.INTERNAL:
        return HubUnreachable(str(error))
    return error
