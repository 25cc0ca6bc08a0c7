"""Wire messages of AuditService to our types and back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from hub.application.case_reading import Access, Lost, Piece
from hub.application.exchanges import Evidence
from hub.application.lane import Recorded
from hub.application.ports import FiguresWanted
from hub.application.replay import Opened, Range, Stretch
from hub.application.statistics import Period, Statistics, StatisticsRow
from hub.errors import RequestMalformed
from hub.proof.statements import AGENCY_CODE
from hub.server.convert import evidence, receipt, timestamp, uuid
from hub.v1 import audit_service_pb2 as pb

DATA_BYTES_MAX = 256 * 1024
STATISTICS_ROWS_MAX = 1000

_PERIODS: dict[int, Period] = {
    pb.PERIOD_DAY: Period.DAY,
    pb.PERIOD_MONTH: Period.MONTH,
    pb.PERIOD_QUARTER: Period.QUARTER,
    pb.PERIOD_YEAR: Period.YEAR,
}

CaseRequest = pb.ReadStatementsRequest | pb.ReadAttachmentRequest | pb.ExportDocumentRequest


def wanted(request: pb.StreamEventsRequest) -> Range:
    """Which events are asked for; RequestMalformed for what is no range or filter."""
    return Range(
        start=request.start,
        end=request.end if request.HasField("end") else None,
        start_time=_instant(request, "start_time"),
        end_time=_instant(request, "end_time"),
        agency=_agency(request.agency),
        exchange_id=_optional_uuid(request.exchange_id, "exchange_id"),
        topics=frozenset(request.topics),
    )


def access(auditor: str, request: CaseRequest) -> Access:
    """Who asks to read what, and for which case."""
    uuid(request.request_id, "request_id")
    exchange_id = uuid(request.exchange_id, "exchange_id")
    return Access(auditor, request.request_id, request.case_reference, exchange_id)


def stream_opened(opened: Opened) -> pb.StreamEventsResponse:
    """The first message of a stream of events."""
    header = pb.EventsHeader(
        checkpoint=opened.checkpoint,
        start=opened.start,
        end=opened.end,
        filtered=opened.filtered,
        frontier=opened.frontier,
    )
    return pb.StreamEventsResponse(header=header, next_position=opened.start)


def stretch(part: Stretch) -> pb.StreamEventsResponse:
    """A stretch of a stream of events."""
    events = [
        pb.LoggedEvent(
            position=proven.entry.position, leaf=proven.entry.state, audit_path=proven.audit_path
        )
        for proven in part.events
    ]
    return pb.StreamEventsResponse(events=events, next_position=part.next_position)


def part(said: Recorded | Evidence | Lost) -> dict[str, Any]:
    """The record of an access, or a statement: the one field that it fills."""
    match said:
        case Recorded():
            return {"access": receipt(said)}
        case Evidence():
            return {"evidence": evidence(said)}
        case Lost():
            return {"lost": pb.LostStatement(position=said.position, reason=said.reason)}


def attachment_parts(said: Recorded | Piece) -> Iterator[pb.ReadAttachmentResponse]:
    """The record of an access, or content in messages of a bounded size."""
    if isinstance(said, Recorded):
        yield pb.ReadAttachmentResponse(access=receipt(said))
        return
    for piece in _cut(said):
        yield pb.ReadAttachmentResponse(data=piece.data)


def export_parts(said: Recorded | Evidence | Lost | Piece) -> Iterator[pb.ExportDocumentResponse]:
    """What an export hands over, in messages of a bounded size."""
    if not isinstance(said, Piece):
        yield pb.ExportDocumentResponse(**part(said))
        return
    for piece in _cut(said):
        yield pb.ExportDocumentResponse(
            piece=pb.AttachmentPiece(
                attachment_index=piece.attachment, offset=piece.offset, data=piece.data
            )
        )


def period(number: int) -> Period:
    """How long the periods of the statistics are."""
    if number not in _PERIODS:
        raise RequestMalformed("period must be a day, month, quarter or year", field="period")
    return _PERIODS[number]


def figures_wanted(request: pb.GetStatisticsRequest) -> FiguresWanted:
    """What is to be counted."""
    return FiguresWanted(
        start=_instant(request, "start_time"),
        end=_instant(request, "end_time"),
        agency=_agency(request.agency),
    )


def statistics(counted: Statistics) -> Iterator[pb.GetStatisticsResponse]:
    """The statistics: which facts they are of, then the rows."""
    header = pb.StatisticsHeader(
        position=counted.position,
        checkpoint=counted.checkpoint,
        as_of_time=timestamp(counted.at),
        time_zone=counted.time_zone,
    )
    yield pb.GetStatisticsResponse(header=header)
    for start in range(0, len(counted.rows), STATISTICS_ROWS_MAX):
        rows = counted.rows[start : start + STATISTICS_ROWS_MAX]
        yield pb.GetStatisticsResponse(rows=[_statistics_row(row) for row in rows])


def _statistics_row(row: StatisticsRow) -> pb.StatisticsRow:
    return pb.StatisticsRow(
        period_start=row.period_start.isoformat(),
        agency=row.agency,
        kind=row.kind,
        sent=row.counts.sent,
        received=row.counts.received,
        answered=row.counts.answered,
        late=row.counts.late,
    )


def _cut(piece: Piece) -> Iterator[Piece]:
    for start in range(0, len(piece.data), DATA_BYTES_MAX):
        data = piece.data[start : start + DATA_BYTES_MAX]
        yield Piece(piece.attachment, piece.offset + start, data)


def _agency(code: str) -> str:
    if code and not AGENCY_CODE.fullmatch(code):
        raise RequestMalformed("agency must be an agency's code", field="agency")
    return code


def _optional_uuid(text: str, field: str) -> UUID | None:
    return uuid(text, field) if text else None


def _instant(request: Any, field: str) -> datetime | None:
    if not request.HasField(field):
        return None
    message: Timestamp = getattr(request, field)
    try:
        return message.ToDatetime(UTC)
    except (ValueError, OverflowError) as error:
        raise RequestMalformed(f"{field} is no instant of this era", field=field) from error
