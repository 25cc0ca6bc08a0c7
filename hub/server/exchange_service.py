"""ExchangeService: what an agency's document-management system calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from hub.application.exchanges import Exchanges
from hub.application.facts import Facts
from hub.application.lane import Recorded
from hub.application.listing import Listing
from hub.application.renewal import Renewals
from hub.application.uploads import CHUNK_BYTES_MAX, Uploads
from hub.server import convert, convert_lists
from hub.server.interceptors import current_caller, stopping
from hub.server.watchers import Watchers
from hub.v1 import exchange_service_pb2 as pb
from hub.v1 import exchange_service_pb2_grpc

_WATCH_PAGE = 100


class ExchangeServicer(exchange_service_pb2_grpc.ExchangeServiceServicer):
    """Every method acts for the agency named by the client certificate."""

    def __init__(
        self,
        exchanges: Exchanges,
        facts: Facts,
        uploads: Uploads,
        watchers: Watchers,
        listing: Listing,
        *,
        renewals: Renewals,
    ) -> None:
        self._renewals = renewals
        self._exchanges = exchanges
        self._facts = facts
        self._uploads = uploads
        self._watchers = watchers
        self._listing = listing

    async def SubmitDocument(
        self, request: pb.SubmitDocumentRequest, context: Any
    ) -> pb.SubmitDocumentResponse:
        """Accept a signed document."""
        recorded = await self._submit(current_caller().name, request)
        return pb.SubmitDocumentResponse(acceptance=convert.acceptance(recorded))

    async def SubmitDocuments(
        self, request: pb.SubmitDocumentsRequest, context: Any
    ) -> pb.SubmitDocumentsResponse:
        """Accept or refuse each of several documents by itself."""
        convert.require_batch(len(request.documents))
        agency = current_caller().name
        results = await asyncio.gather(
            *(self._submit(agency, document) for document in request.documents),
            return_exceptions=True,
        )
        return pb.SubmitDocumentsResponse(results=[convert.submit_result(one) for one in results])

    async def _submit(self, agency: str, document: pb.SubmitDocumentRequest) -> Recorded:
        # Everything inside: what is malformed in one document refuses only that one.
        return await self._exchanges.submit(
            agency,
            convert.signed_statement(document.envelope),
            document.contents,
            convert.upload_ids(document.upload_ids),
        )

    async def GetSubmission(
        self, request: pb.GetSubmissionRequest, context: Any
    ) -> pb.GetSubmissionResponse:
        """The answer an accepted statement got."""
        recorded = await self._exchanges.submission(current_caller().name, request.request_id)
        return pb.GetSubmissionResponse(acceptance=convert.acceptance(recorded))

    async def GetExchange(
        self, request: pb.GetExchangeRequest, context: Any
    ) -> pb.GetExchangeResponse:
        """What became of a document."""
        exchange_id = convert.uuid(request.exchange_id, "exchange_id")
        view = await self._exchanges.exchange(current_caller().name, exchange_id)
        return pb.GetExchangeResponse(exchange=convert.exchange(view))

    async def ListInbox(self, request: pb.ListInboxRequest, context: Any) -> pb.ListInboxResponse:
        """A page of the inbox."""
        size = convert.page_size(request.page_size)
        after = convert.cursor(request.after)
        agency = self._exchanges.box(current_caller().name, request.agency)
        rows = await self._exchanges.inbox(agency, after, size + 1)
        return convert.list_inbox_response(rows, size)

    async def WatchInbox(
        self, request: pb.WatchInboxRequest, context: Any
    ) -> AsyncIterator[pb.WatchInboxResponse]:
        """The inbox as it grows."""
        agency = self._exchanges.box(current_caller().name, request.agency)
        after = convert.cursor(request.after)
        with self._watchers.watch() as watcher:
            while True:
                # Look first, wait afterwards: what is published in between wakes us at once.
                rows = await self._exchanges.inbox(agency, after, _WATCH_PAGE)
                for row in rows:
                    yield pb.WatchInboxResponse(item=convert.inbox_item(*row))
                    after = row[0].seq
                if not rows and not await watcher.wait():
                    raise stopping()

    async def CollectDocument(
        self, request: pb.CollectDocumentRequest, context: Any
    ) -> pb.CollectDocumentResponse:
        """Hand a document over."""
        handed_over = await self._exchanges.collect(
            current_caller().name, convert.signed_statement(request.collect)
        )
        return pb.CollectDocumentResponse(
            acceptance=convert.acceptance(handed_over.recorded),
            document=convert.document(handed_over),
        )

    async def DownloadAttachment(
        self, request: pb.DownloadAttachmentRequest, context: Any
    ) -> AsyncIterator[pb.DownloadAttachmentResponse]:
        """Release content."""
        exchange_id = convert.uuid(request.exchange_id, "exchange_id")
        parts = self._exchanges.attachment(
            current_caller().name, exchange_id, request.attachment_index, request.offset
        )
        async for part in parts:
            for start in range(0, len(part), CHUNK_BYTES_MAX):
                yield pb.DownloadAttachmentResponse(data=part[start : start + CHUNK_BYTES_MAX])

    async def ReportStatus(
        self, request: pb.ReportStatusRequest, context: Any
    ) -> pb.ReportStatusResponse:
        """Record a status."""
        recorded = await self._exchanges.report_status(
            current_caller().name, convert.signed_statement(request.status)
        )
        return pb.ReportStatusResponse(acceptance=convert.acceptance(recorded))

    async def RequestRecall(
        self, request: pb.RequestRecallRequest, context: Any
    ) -> pb.RequestRecallResponse:
        """Ask for a document back."""
        recorded = await self._exchanges.recall(
            current_caller().name, convert.signed_statement(request.recall)
        )
        return pb.RequestRecallResponse(acceptance=convert.acceptance(recorded))

    async def AnswerRecall(
        self, request: pb.AnswerRecallRequest, context: Any
    ) -> pb.AnswerRecallResponse:
        """Record the answer to a recall."""
        recorded = await self._exchanges.answer_recall(
            current_caller().name, convert.signed_statement(request.answer)
        )
        return pb.AnswerRecallResponse(acceptance=convert.acceptance(recorded))

    async def ListOutbox(
        self, request: pb.ListOutboxRequest, context: Any
    ) -> pb.ListOutboxResponse:
        """A page of the outbox."""
        size = convert.page_size(request.page_size)
        after = convert.cursor(request.after)
        agency = self._exchanges.box(current_caller().name, request.agency)
        rows = await self._exchanges.outbox(agency, after, size + 1)
        return convert.list_outbox_response(rows, size)

    async def WatchOutbox(
        self, request: pb.WatchOutboxRequest, context: Any
    ) -> AsyncIterator[pb.WatchOutboxResponse]:
        """The outbox as it grows."""
        agency = self._exchanges.box(current_caller().name, request.agency)
        after = convert.cursor(request.after)
        with self._watchers.watch() as watcher:
            while True:
                rows = await self._exchanges.outbox(agency, after, _WATCH_PAGE)
                for row in rows:
                    yield pb.WatchOutboxResponse(item=convert.outbox_item(*row))
                    after = row[0].seq
                if not rows and not await watcher.wait():
                    raise stopping()

    async def GetStatement(
        self, request: pb.GetStatementRequest, context: Any
    ) -> pb.GetStatementResponse:
        """A statement with its proofs."""
        proven = await self._exchanges.statement(
            current_caller().name, request.position, cosigned=request.cosigned
        )
        return pb.GetStatementResponse(evidence=convert.evidence(proven))

    async def ListFacts(self, request: pb.ListFactsRequest, context: Any) -> pb.ListFactsResponse:
        """Where the facts about a document stand."""
        exchange_id = convert.uuid(request.exchange_id, "exchange_id")
        size = convert.page_size(request.page_size)
        found = await self._facts.of_exchange(
            current_caller().name, exchange_id, after=convert.cursor(request.after), limit=size + 1
        )
        return pb.ListFactsResponse(
            positions=found[:size],
            more=len(found) > size,
            hub_key_positions=await self._facts.of_keys(),
        )

    async def RenewCertificate(
        self, request: pb.RenewCertificateRequest, context: Any
    ) -> pb.RenewCertificateResponse:
        """Put a new certificate of the caller into force."""
        recorded, key_id = await self._renewals.renew(
            current_caller().name,
            convert.signed_statement(request.renewal),
            convert.signed_statement(request.possession),
            request.ocsp_answers,
        )
        return pb.RenewCertificateResponse(receipt=convert.receipt(recorded), key_id=key_id)

    async def ListReceived(
        self, request: pb.ListReceivedRequest, context: Any
    ) -> pb.ListReceivedResponse:
        """A page of what was received."""
        page = await self._listing.received(
            self._exchanges.box(current_caller().name, request.agency),
            convert_lists.document_filter(request.filter),
            request.page_token,
            convert_lists.page_size(request.page_size),
        )
        return convert_lists.list_received_response(page)

    async def ListSent(self, request: pb.ListSentRequest, context: Any) -> pb.ListSentResponse:
        """A page of what was sent."""
        page = await self._listing.sent(
            self._exchanges.box(current_caller().name, request.agency),
            convert_lists.document_filter(request.filter),
            request.page_token,
            convert_lists.page_size(request.page_size),
        )
        return convert_lists.list_sent_response(page)

    async def GetLimits(self, request: pb.GetLimitsRequest, context: Any) -> pb.GetLimitsResponse:
        """The limits of this hub."""
        return convert.limits()

    async def BeginUpload(
        self, request: pb.BeginUploadRequest, context: Any
    ) -> pb.BeginUploadResponse:
        """Begin an upload, or find it again."""
        upload_id, offset = await self._exchanges.begin_upload(
            current_caller().name, request.size, request.sha256, request.tag
        )
        return pb.BeginUploadResponse(upload_id=str(upload_id), offset=offset)

    async def UploadContent(
        self, request_iterator: AsyncIterator[pb.UploadContentRequest], context: Any
    ) -> pb.UploadContentResponse:
        """Take content."""
        start, chunks = await convert.upload_stream(request_iterator)
        offset = await self._uploads.take(
            current_caller().name,
            convert.uuid(start.upload_id, "start.upload_id"),
            start.offset,
            chunks,
        )
        return pb.UploadContentResponse(offset=offset)
