"""AuditService: what an auditor's program calls."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from hub.application.case_reading import CaseReading
from hub.application.replay import Replay
from hub.application.statistics import Counting
from hub.server import convert_audit as convert
from hub.server.interceptors import current_caller
from hub.v1 import audit_service_pb2 as pb
from hub.v1 import audit_service_pb2_grpc


class AuditServicer(audit_service_pb2_grpc.AuditServiceServicer):
    """Every method acts for the auditor named by the client certificate."""

    def __init__(self, replay: Replay, reading: CaseReading, counting: Counting) -> None:
        self._replay = replay
        self._reading = reading
        self._counting = counting

    async def StreamEvents(
        self, request: pb.StreamEventsRequest, context: Any
    ) -> AsyncIterator[pb.StreamEventsResponse]:
        """Stream a range of history."""
        wanted = convert.wanted(request)
        opened = await self._replay.open(wanted)
        yield convert.stream_opened(opened)
        async for stretch in self._replay.stretches(wanted, opened):
            yield convert.stretch(stretch)

    async def ReadStatements(
        self, request: pb.ReadStatementsRequest, context: Any
    ) -> AsyncIterator[pb.ReadStatementsResponse]:
        """Show what was signed about a document."""
        access = convert.access(current_caller().name, request)
        async for part in self._reading.statements(access):
            yield pb.ReadStatementsResponse(**convert.part(part))

    async def ReadAttachment(
        self, request: pb.ReadAttachmentRequest, context: Any
    ) -> AsyncIterator[pb.ReadAttachmentResponse]:
        """Show an attachment."""
        access = convert.access(current_caller().name, request)
        index, offset = request.attachment_index, request.offset
        async for part in self._reading.attachment(access, index, offset):
            for response in convert.attachment_parts(part):
                yield response

    async def ExportDocument(
        self, request: pb.ExportDocumentRequest, context: Any
    ) -> AsyncIterator[pb.ExportDocumentResponse]:
        """Hand over a document with all that was said about it."""
        access = convert.access(current_caller().name, request)
        index, offset = request.attachment_index, request.offset
        async for part in self._reading.export(access, index, offset):
            for response in convert.export_parts(part):
                yield response

    async def GetStatistics(
        self, request: pb.GetStatisticsRequest, context: Any
    ) -> AsyncIterator[pb.GetStatisticsResponse]:
        """Count."""
        period, wanted = convert.period(request.period), convert.figures_wanted(request)
        for response in convert.statistics(await self._counting.count(period, wanted)):
            yield response
