"""Lists of documents and the calendar on the wire: what `convert` is for everything else."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from hub.application.listing import (
    LateRecipients,
    Received,
    ReceivedPage,
    Sent,
    SentPage,
)
from hub.application.ports import DocumentFilter, DocumentRow, Tally
from hub.application.registry import CalendarEntry
from hub.domain.delivery import DeliveryState, RecallState
from hub.domain.folding import fold, words_of
from hub.errors import RequestMalformed
from hub.proof.envelope import Priority
from hub.server.convert import timestamp
from hub.v1 import exchange_pb2, exchange_service_pb2, lists_pb2, registry_service_pb2

PAGE_SIZE_DEFAULT = 50
PAGE_SIZE_MAX = 200
_AGENCY_CHARS_MAX = 35
_TYPE_CHARS_MAX = 100
_CODE_CHARS_MAX = 151
_SUBJECT_CHARS_MAX = 500
_WORDS_MAX = 20

_PRIORITIES = {
    lists_pb2.PRIORITY_NORMAL: Priority.NORMAL.value,
    lists_pb2.PRIORITY_URGENT: Priority.URGENT.value,
    lists_pb2.PRIORITY_VERY_URGENT: Priority.VERY_URGENT.value,
    lists_pb2.PRIORITY_FLASH: Priority.FLASH.value,
    lists_pb2.PRIORITY_FLASH_TIMED: Priority.FLASH_TIMED.value,
}
_PRIORITY_NUMBERS = {value: number for number, value in _PRIORITIES.items()}


# --- From the wire ----------------------------------------------------------------


def document_filter(message: lists_pb2.DocumentFilter) -> DocumentFilter:
    """A filter, its text folded; RequestMalformed for what cannot be."""
    return DocumentFilter(
        states=_states(message.states),
        other_agency=_text(message.other_agency, "other_agency", _AGENCY_CHARS_MAX),
        type=fold(_text(message.type, "type", _TYPE_CHARS_MAX)),
        priorities=_priorities(message.priorities),
        code=fold(_text(message.code, "code", _CODE_CHARS_MAX)),
        words=_words(_text(message.subject, "subject", _SUBJECT_CHARS_MAX)),
        accepted_from=_instant(message, "accepted_from_time"),
        accepted_before=_instant(message, "accepted_before_time"),
        issued_from=_optional_day(message.issued_from, "issued_from"),
        issued_to=_optional_day(message.issued_to, "issued_to"),
        overdue_only=message.overdue_only,
        recalled=message.recalled if message.HasField("recalled") else None,
        replaced=message.replaced if message.HasField("replaced") else None,
    )


def page_size(requested: int) -> int:
    """How many documents a page holds: the default for 0, never more than the maximum."""
    if requested < 0:
        raise RequestMalformed("page_size must not be negative", field="page_size")
    return min(requested or PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)


def day(text: str, field: str) -> date:
    """A date such as 2026-11-22; RequestMalformed for anything else."""
    try:
        value = date.fromisoformat(text)
    except ValueError:
        value = None
    if value is None or value.isoformat() != text:
        raise RequestMalformed(f"{field} must be a date such as 2026-11-22", field=field)
    return value


def day_of_token(token: str) -> date:
    """The last day of the page before; the first of all for the first page."""
    return day(token, "page_token") if token else date.min


def _states(numbers: Sequence[int]) -> tuple[DeliveryState, ...]:
    if not set(numbers) <= {state.value for state in DeliveryState}:
        raise RequestMalformed("states has one that no delivery has", field="filter.states")
    return tuple(sorted({DeliveryState(number) for number in numbers}))


def _priorities(numbers: Sequence[lists_pb2.Priority.ValueType]) -> tuple[str, ...]:
    if not set(numbers) <= _PRIORITIES.keys():
        raise RequestMalformed("priorities has one that no document has", field="filter.priorities")
    return tuple(sorted({_PRIORITIES[number] for number in numbers}))


def _words(text: str) -> tuple[str, ...]:
    words = tuple(sorted(set(words_of(text))))
    if text and not 1 <= len(words) <= _WORDS_MAX:
        raise RequestMalformed(f"subject must have 1 to {_WORDS_MAX} words", field="filter.subject")
    return words


def _text(text: str, field: str, chars_max: int) -> str:
    text = text.strip()
    if len(text) > chars_max or "\x00" in text:
        raise RequestMalformed(
            f"{field} must have at most {chars_max} characters", field=f"filter.{field}"
        )
    return text


def _optional_day(text: str, field: str) -> date | None:
    return day(text, f"filter.{field}") if text else None


def _instant(message: lists_pb2.DocumentFilter, field: str) -> datetime | None:
    # One reader for two fields: the generated stub types each name by itself.
    if not message.HasField(field):  # type: ignore[arg-type]
        return None
    value: Timestamp = getattr(message, field)
    try:
        return value.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise RequestMalformed(
            f"{field} is beyond the calendar", field=f"filter.{field}"
        ) from error


# --- To the wire ------------------------------------------------------------------


def list_received_response(page: ReceivedPage) -> exchange_service_pb2.ListReceivedResponse:
    """A page of what an agency received."""
    return exchange_service_pb2.ListReceivedResponse(
        documents=[_received(one) for one in page.documents], next_page_token=page.next_token
    )


def list_sent_response(page: SentPage) -> exchange_service_pb2.ListSentResponse:
    """A page of what an agency sent."""
    return exchange_service_pb2.ListSentResponse(
        documents=[_sent(one) for one in page.documents], next_page_token=page.next_token
    )


def list_corrections_response(
    entries: Sequence[CalendarEntry], size: int
) -> registry_service_pb2.ListCalendarCorrectionsResponse:
    """A page of corrected days from one entry more than the page holds."""
    return registry_service_pb2.ListCalendarCorrectionsResponse(
        corrections=[
            registry_service_pb2.CalendarCorrection(
                day=entry.day.isoformat(),
                working=entry.working,
                basis=entry.basis,
                by=entry.by,
                position=entry.position,
            )
            for entry in entries[:size]
        ],
        next_page_token=entries[size - 1].day.isoformat() if len(entries) > size else "",
    )


def _received(one: Received) -> lists_pb2.ReceivedDocument:
    """A document received. What was recalled with consent keeps its place, not its words."""
    document = _document(one.document)
    if one.delivery.recall is RecallState.AGREED:
        document.subject = ""
    return lists_pb2.ReceivedDocument(
        document=document,
        inbox_seq=one.delivery.inbox_seq,
        state=exchange_pb2.DeliveryState.ValueType(one.delivery.state.value),
        update_time=timestamp(one.delivery.updated_at),
        recall=exchange_pb2.RecallState.ValueType(one.delivery.recall.value),
        expired=one.delivery.expired,
        late=[_late(each) for each in one.late],
    )


def _sent(one: Sent) -> lists_pb2.SentDocument:
    return lists_pb2.SentDocument(
        document=_document(one.document),
        deliveries=[_tally(each) for each in one.tallies],
        late=[_late(each) for each in one.late],
    )


def _document(row: DocumentRow) -> lists_pb2.ListedDocument:
    return lists_pb2.ListedDocument(
        exchange_id=str(row.exchange_id),
        sender=row.sender,
        envelope_digest=row.envelope_digest,
        accept_time=timestamp(row.accepted_at),
        position=row.position,
        code=row.code,
        type_name=row.type_name,
        type_code=row.type_code,
        subject=row.subject,
        priority=_PRIORITY_NUMBERS.get(row.priority, lists_pb2.PRIORITY_UNSPECIFIED),
        issued_on=row.issued_on.isoformat() if row.issued_on else "",
        due_on=row.due_on.isoformat() if row.due_on else "",
        attachment_count=row.attachment_count,
        attachment_bytes=row.attachment_bytes,
        replaced_by=str(row.replaced_by or ""),
        erased=row.erased,
    )


def _tally(tally: Tally) -> lists_pb2.DeliveryTally:
    return lists_pb2.DeliveryTally(
        state=exchange_pb2.DeliveryState.ValueType(tally.state.value),
        recall=exchange_pb2.RecallState.ValueType(tally.recall.value),
        expired=tally.expired,
        count=tally.count,
    )


def _late(each: LateRecipients) -> lists_pb2.Late:
    return lists_pb2.Late(
        rule=lists_pb2.LateRule.ValueType(each.late.rule.value),
        since_time=timestamp(each.late.since),
        recipients=each.recipients,
    )
