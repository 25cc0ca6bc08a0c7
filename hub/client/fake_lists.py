"""The lists of the fake hub: what an agency received and sent, filtered, without lateness.

Nobody is ever late here, for the fake hub keeps no calendar: `late` is empty, and
`overdue_only` finds nothing. A filter's bounds are not checked.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from hub.errors import RequestMalformed
from hub.proof.envelope import Priority
from hub.v1 import exchange_pb2 as wire
from hub.v1 import exchange_service_pb2 as calls
from hub.v1 import lists_pb2 as lists

if TYPE_CHECKING:
    from hub.client.fake_exchanges import FakeExchange

T = TypeVar("T")

_PAGE_SIZE, _PAGE_SIZE_MAX = 50, 200
_PRIORITIES = {
    Priority.NORMAL: lists.PRIORITY_NORMAL,
    Priority.URGENT: lists.PRIORITY_URGENT,
    Priority.VERY_URGENT: lists.PRIORITY_VERY_URGENT,
    Priority.FLASH: lists.PRIORITY_FLASH,
    Priority.FLASH_TIMED: lists.PRIORITY_FLASH_TIMED,
}


def received(
    agency: str, inbox: Sequence[tuple[int, FakeExchange]], request: calls.ListReceivedRequest
) -> calls.ListReceivedResponse:
    """One page of what an agency received; `inbox` holds its documents by their numbers."""
    asked = request.filter

    def wanted(exchange: FakeExchange) -> bool:
        delivery = exchange.deliveries[agency]
        cancelled = delivery.recall == wire.RECALL_STATE_AGREED
        return (
            asked.other_agency in ("", exchange.sender.code)
            and _delivery_matches(delivery, asked)
            and _document_matches(exchange, asked)
            and not (asked.subject and cancelled)
        )

    def line(seq: int, exchange: FakeExchange) -> lists.ReceivedDocument:
        delivery = exchange.deliveries[agency]
        document = _listed(exchange)
        if delivery.recall == wire.RECALL_STATE_AGREED:
            document.subject = ""
        return lists.ReceivedDocument(
            document=document,
            inbox_seq=seq,
            state=delivery.state,
            update_time=delivery.update_time,
            recall=delivery.recall,
            expired=delivery.expired,
        )

    found = [(seq, exchange) for seq, exchange in inbox if wanted(exchange)]
    page, token = _page(found, lambda entry: entry[0], request.page_size, request.page_token)
    return calls.ListReceivedResponse(
        documents=[line(seq, exchange) for seq, exchange in page], next_page_token=token
    )


def sent(
    exchanges: Iterable[FakeExchange], request: calls.ListSentRequest
) -> calls.ListSentResponse:
    """One page of these, all of which the caller sent."""
    asked = request.filter

    def wanted(exchange: FakeExchange) -> bool:
        return _document_matches(exchange, asked) and any(
            asked.other_agency in ("", code) and _delivery_matches(delivery, asked)
            for code, delivery in exchange.deliveries.items()
        )

    def line(exchange: FakeExchange) -> lists.SentDocument:
        tallies = Counter(
            (delivery.state, delivery.recall, delivery.expired)
            for delivery in exchange.deliveries.values()
        )
        return lists.SentDocument(
            document=_listed(exchange),
            deliveries=[
                lists.DeliveryTally(state=state, recall=recall, expired=expired, count=count)
                for (state, recall, expired), count in sorted(tallies.items())
            ],
        )

    found = [exchange for exchange in exchanges if wanted(exchange)]
    page, token = _page(found, lambda each: each.position, request.page_size, request.page_token)
    return calls.ListSentResponse(documents=[line(each) for each in page], next_page_token=token)


def _page(
    found: Sequence[T], number: Callable[[T], int], size: int, token: str
) -> tuple[Sequence[T], str]:
    """The newest below the token's number, and the token of the next page."""
    if token and not token.isdecimal():
        raise RequestMalformed("not a page token of this list", field="page_token")
    if size < 0:
        raise RequestMalformed("page_size is negative", field="page_size")
    rows = sorted(found, key=number, reverse=True)
    rows = [row for row in rows if not token or number(row) < int(token)]
    limit = min(size or _PAGE_SIZE, _PAGE_SIZE_MAX)
    return rows[:limit], str(number(rows[limit - 1])) if len(rows) > limit else ""


def _delivery_matches(delivery: wire.Delivery, asked: lists.DocumentFilter) -> bool:
    if asked.overdue_only or (asked.states and delivery.state not in asked.states):
        return False
    recalled = delivery.recall != wire.RECALL_STATE_UNSPECIFIED
    return not asked.HasField("recalled") or asked.recalled == recalled


def _document_matches(exchange: FakeExchange, asked: lists.DocumentFilter) -> bool:
    document = exchange.envelope.document
    issued_on = document.issued_on.isoformat()
    accepted = Timestamp()
    accepted.FromDatetime(exchange.at)
    at = accepted.ToNanoseconds()
    words = set(_words(document.subject))
    return all(
        [
            not asked.type
            or _fold(asked.type) in (_fold(document.type_name), _fold(document.type_code or "")),
            not asked.priorities or _PRIORITIES[document.priority] in asked.priorities,
            _fold(asked.code) in _fold(document.code),
            words.issuperset(_words(asked.subject)),
            not asked.HasField("accepted_from_time")
            or asked.accepted_from_time.ToNanoseconds() <= at,
            not asked.HasField("accepted_before_time")
            or at < asked.accepted_before_time.ToNanoseconds(),
            not asked.issued_from or asked.issued_from <= issued_on,
            not asked.issued_to or issued_on <= asked.issued_to,
            not asked.HasField("replaced") or asked.replaced == bool(exchange.replaced_by),
        ]
    )


def _listed(exchange: FakeExchange) -> lists.ListedDocument:
    document = exchange.envelope.document
    accepted = Timestamp()
    accepted.FromDatetime(exchange.at)
    return lists.ListedDocument(
        exchange_id=exchange.exchange_id,
        sender=exchange.sender.code,
        envelope_digest=exchange.signed.digest,
        accept_time=accepted,
        position=exchange.position,
        code=document.code,
        type_name=document.type_name,
        type_code=document.type_code or "",
        subject=document.subject,
        priority=_PRIORITIES[document.priority],
        issued_on=document.issued_on.isoformat(),
        due_on=document.due_on.isoformat() if document.due_on else "",
        attachment_count=len(document.attachments),
        attachment_bytes=sum(item.size for item in document.attachments),
        replaced_by=exchange.replaced_by,
    )


def _fold(text: str) -> str:
    """Text without case and diacritics; `đ` is `d`."""
    lower = unicodedata.normalize("NFKD", text).casefold()
    return "".join(
        sign for sign in lower if unicodedata.category(sign) not in {"Mn", "Cf"}
    ).replace("đ", "d")


def _words(text: str) -> list[str]:
    return "".join(sign if sign.isalnum() else " " for sign in _fold(text)).split()
