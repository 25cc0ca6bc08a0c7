"""What an agency received and sent, filtered and searched: typed questions and answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import IntEnum

from google.protobuf.timestamp_pb2 import Timestamp

from hub.client.answers import DeliveryState, RecallState
from hub.client.errors import UnexpectedAnswer
from hub.client.line import Line
from hub.proof.envelope import Priority
from hub.v1 import exchange_pb2, exchange_service_pb2, lists_pb2

PAGE_SIZE = 100

_PRIORITY_NUMBERS = {
    Priority.NORMAL: lists_pb2.PRIORITY_NORMAL,
    Priority.URGENT: lists_pb2.PRIORITY_URGENT,
    Priority.VERY_URGENT: lists_pb2.PRIORITY_VERY_URGENT,
    Priority.FLASH: lists_pb2.PRIORITY_FLASH,
    Priority.FLASH_TIMED: lists_pb2.PRIORITY_FLASH_TIMED,
}
_PRIORITIES = {int(number): priority for priority, number in _PRIORITY_NUMBERS.items()}


class LateRule(IntEnum):
    """What a recipient is late with; `UNKNOWN` is a rule only a newer hub knows."""

    UNKNOWN = 0
    NOT_COLLECTED = 1
    NOT_ANSWERED = 2

    @classmethod
    def of(cls, value: int) -> LateRule:
        """The rule of that number on the wire."""
        return cls(value) if value in set(cls) else cls.UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentFilter:
    """Which documents of a list are wanted: all that is given must hold.

    `other_agency` is the sender of what was received, a recipient of what was sent. `type` is
    the name or code of a kind, `code` a part of number and notation, `subject` words that all
    occur; case and diacritics make no difference. `accepted_from` is included,
    `accepted_before` is not; both carry their zone. `issued_from` and `issued_to` are included.
    """

    states: Sequence[DeliveryState] = ()
    other_agency: str | None = None
    type: str | None = None
    priorities: Sequence[Priority] = ()
    code: str | None = None
    subject: str | None = None
    accepted_from: datetime | None = None
    accepted_before: datetime | None = None
    issued_from: date | None = None
    issued_to: date | None = None
    overdue_only: bool = False
    recalled: bool | None = None
    replaced: bool | None = None

    def to_wire(self) -> lists_pb2.DocumentFilter:
        """The message that asks for it. Raises ValueError for an instant without a zone."""
        return lists_pb2.DocumentFilter(
            states=[exchange_pb2.DeliveryState.ValueType(state.value) for state in self.states],
            other_agency=self.other_agency or "",
            type=self.type or "",
            priorities=[_PRIORITY_NUMBERS[priority] for priority in self.priorities],
            code=self.code or "",
            subject=self.subject or "",
            accepted_from_time=_timestamp(self.accepted_from),
            accepted_before_time=_timestamp(self.accepted_before),
            issued_from=self.issued_from.isoformat() if self.issued_from else "",
            issued_to=self.issued_to.isoformat() if self.issued_to else "",
            overdue_only=self.overdue_only,
            recalled=self.recalled,
            replaced=self.replaced,
        )


@dataclass(frozen=True, slots=True)
class Late:
    """A rule that recipients are late by, since when, and how many they are."""

    rule: LateRule
    since: datetime
    recipients: int


@dataclass(frozen=True, slots=True)
class ListedDocument:
    """A document in a list, by the hub's word. Words are empty once they were erased."""

    exchange_id: str
    sender: str
    envelope_digest: str
    accepted_at: datetime
    position: int
    code: str
    type_name: str
    type_code: str
    subject: str
    priority: Priority | None
    issued_on: date | None
    due_on: date | None
    attachment_count: int
    attachment_bytes: int
    replaced_by: str | None
    erased: bool = False


@dataclass(frozen=True, slots=True)
class ReceivedDocument:
    """A document in this agency's inbox, and the rules this agency is late by."""

    document: ListedDocument
    inbox_seq: int
    state: DeliveryState
    updated_at: datetime
    recall: RecallState
    expired: bool
    late: tuple[Late, ...]


@dataclass(frozen=True, slots=True)
class DeliveryTally:
    """How many recipients of one document stand alike."""

    state: DeliveryState
    recall: RecallState
    expired: bool
    count: int


@dataclass(frozen=True, slots=True)
class SentDocument:
    """A document this agency sent, its deliveries counted, and the rules some are late by."""

    document: ListedDocument
    deliveries: tuple[DeliveryTally, ...]
    late: tuple[Late, ...]

    @property
    def recipient_count(self) -> int:
        """How many agencies it was sent to."""
        return sum(tally.count for tally in self.deliveries)


async def received(
    line: Line, wanted: DocumentFilter, agency: str = ""
) -> AsyncIterator[ReceivedDocument]:
    """Every document received that is wanted, newest first, page by page."""
    token, asked = "", wanted.to_wire()
    while True:
        request = exchange_service_pb2.ListReceivedRequest(
            filter=asked, page_size=PAGE_SIZE, page_token=token, agency=agency
        )
        page = await line.call(line.exchange.ListReceived, request)
        for message in page.documents:
            yield _received(message)
        token = _next_token(token, page.next_page_token)
        if not token:
            return


async def sent(line: Line, wanted: DocumentFilter, agency: str = "") -> AsyncIterator[SentDocument]:
    """Every document sent that is wanted, newest first, page by page."""
    token, asked = "", wanted.to_wire()
    while True:
        request = exchange_service_pb2.ListSentRequest(
            filter=asked, page_size=PAGE_SIZE, page_token=token, agency=agency
        )
        page = await line.call(line.exchange.ListSent, request)
        for message in page.documents:
            yield _sent(message)
        token = _next_token(token, page.next_page_token)
        if not token:
            return


def _next_token(token: str, following: str) -> str:
    if following and following == token:
        raise UnexpectedAnswer("a page of documents that leads to itself")
    return following


def _received(message: lists_pb2.ReceivedDocument) -> ReceivedDocument:
    return ReceivedDocument(
        document=_document(message.document),
        inbox_seq=message.inbox_seq,
        state=DeliveryState.of(message.state),
        updated_at=_instant(message.update_time),
        recall=RecallState.of(message.recall),
        expired=message.expired,
        late=tuple(_late(each) for each in message.late),
    )


def _sent(message: lists_pb2.SentDocument) -> SentDocument:
    tallies = (
        DeliveryTally(
            DeliveryState.of(tally.state), RecallState.of(tally.recall), tally.expired, tally.count
        )
        for tally in message.deliveries
    )
    late = tuple(_late(each) for each in message.late)
    return SentDocument(_document(message.document), tuple(tallies), late)


def _document(message: lists_pb2.ListedDocument) -> ListedDocument:
    if len(message.envelope_digest) != 32:
        raise UnexpectedAnswer("a digest that does not have 32 bytes")
    return ListedDocument(
        exchange_id=message.exchange_id,
        sender=message.sender,
        envelope_digest=message.envelope_digest.hex(),
        accepted_at=_instant(message.accept_time),
        position=message.position,
        code=message.code,
        type_name=message.type_name,
        type_code=message.type_code,
        subject=message.subject,
        priority=_PRIORITIES.get(message.priority),
        issued_on=_day(message.issued_on),
        due_on=_day(message.due_on),
        attachment_count=message.attachment_count,
        attachment_bytes=message.attachment_bytes,
        replaced_by=message.replaced_by or None,
        erased=message.erased,
    )


def _late(message: lists_pb2.Late) -> Late:
    return Late(LateRule.of(message.rule), _instant(message.since_time), message.recipients)


def _timestamp(at: datetime | None) -> Timestamp | None:
    if at is None:
        return None
    if at.tzinfo is None:
        raise ValueError("an instant needs its time zone")
    message = Timestamp()
    message.FromDatetime(at)
    return message


def _instant(message: Timestamp) -> datetime:
    try:
        return message.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise UnexpectedAnswer("a time beyond the calendar") from error


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError as error:
        raise UnexpectedAnswer("a date that is none") from error
