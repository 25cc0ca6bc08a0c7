"""Pages of lists, and the calendar as it was known when somebody asks about then."""

import asyncio
import base64
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TypeVar
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest

from adapters.calendar import vietnamese_working_day
from adapters.memory.determinism import CountedRandomness, FixedClock
from adapters.memory.lists import MemoryDocumentLists
from adapters.memory.views import MemoryViews
from hub.application.listing import Listing, ReceivedPage, calendar_of
from hub.application.mapper import ClosedMapper
from hub.application.ports import DocumentFilter, ViewChanges
from hub.application.registry import Registry
from hub.domain.deadlines import LateRule
from hub.domain.delivery import DeliveryState
from hub.domain.log import Log
from hub.domain.working_days import WorkingDays
from hub.errors import RequestMalformed
from hub.proof.leaf import parse_leaf
from tests.support.views import new_delivery, new_document

T = TypeVar("T")
ZONE = ZoneInfo("Asia/Ho_Chi_Minh")
BASE = WorkingDays(vietnamese_working_day, ZONE)
MONDAY = FixedClock()()  # 23 November 2026, 08:30; 22 November was the Sunday before.
FRIDAY = datetime(2026, 11, 20, 9, tzinfo=ZONE)
NOTHING = DocumentFilter()


async def at_once(work: Callable[[], T]) -> T:
    return work()


def registry_after(*corrections: tuple[date, bool]) -> Registry:
    """The register after these corrections, made from their leaves."""
    log = Log.open(log_id=uuid4(), at=MONDAY, origin="hub.test/log")
    for day, working in corrections:
        log.correct_calendar(
            at=MONDAY, day=day, working=working, basis="QĐ", by="operator", request_id="r"
        )
    mapper = ClosedMapper(CountedRandomness())
    registry = Registry()
    for position, event in enumerate(log.collect_events()):
        leaf = parse_leaf(mapper.to_stored_event(event).state)
        registry = registry.advanced(leaf, position, lambda _digest: None)
    return registry


def listing(*corrections: tuple[date, bool], documents: int = 5) -> Listing:
    views = MemoryViews()
    for n in range(1, documents + 1):
        row = new_delivery(UUID(int=n), "H02", n, n - 1)
        document = replace(new_document(UUID(int=n), n - 1), accepted_at=FRIDAY.astimezone(UTC))
        views.apply(ViewChanges([document], [row], []), start=n - 1, end=n)
    return Listing(
        lists=MemoryDocumentLists(views),
        registry=lambda: registry_after(*corrections),
        calendar=BASE,
        offload=at_once,
        clock=FixedClock(),
    )


def received(
    lists: Listing, token: str = "", wanted: DocumentFilter = NOTHING, agency: str = "H02"
) -> ReceivedPage:
    return asyncio.run(lists.received(agency, wanted, token, 2))


def test_pages_lead_from_one_to_the_next_and_end():
    lists, token, numbers = listing(), "", []
    while True:
        page = received(lists, token)
        numbers.append([item.delivery.inbox_seq for item in page.documents])
        if not (token := page.next_token):
            break
    assert numbers == [[5, 4], [3, 2], [1]]


def test_a_token_is_good_for_one_agency_one_list_and_one_filter():
    lists = listing()
    token = received(lists).next_token
    place = base64.urlsafe_b64decode(token)[:8]
    beyond = base64.urlsafe_b64encode(b"\xff" * 8 + base64.urlsafe_b64decode(token)[8:]).decode()
    states = DocumentFilter(states=(DeliveryState.CONSIGNED,))

    def sent() -> None:
        asyncio.run(lists.sent("H02", NOTHING, token, 2))

    for ask in (
        lambda: received(lists, token, states),
        lambda: received(lists, token, agency="H03"),
        lambda: received(lists, base64.urlsafe_b64encode(place).decode()),
        lambda: received(lists, beyond),
        lambda: received(lists, "not base64!"),
        sent,
    ):
        with pytest.raises(RequestMalformed) as refused:
            ask()
        assert refused.value.metadata["field"] == "page_token"


def test_a_token_does_not_depend_on_the_hour():
    token = received(listing(), wanted=DocumentFilter(overdue_only=True)).next_token
    later = listing((date(2026, 11, 24), True))
    assert received(later, token, DocumentFilter(overdue_only=True)).documents


def test_who_is_late_is_told_with_the_rule_and_since_when():
    (item, _next) = received(listing()).documents
    (found,) = item.late
    assert found.late.rule is LateRule.NOT_COLLECTED
    assert found.late.since == datetime(2026, 11, 20, 17, tzinfo=ZONE)
    assert found.recipients == 1


def test_a_correction_moves_every_deadline_at_once():
    day_off = listing((date(2026, 11, 20), False))
    assert [item.late for item in received(day_off).documents] == [[], []]
    assert received(day_off, wanted=DocumentFilter(overdue_only=True)).documents == []


def test_the_calendar_is_that_of_the_register_it_is_asked_of():
    day = date(2026, 1, 2)
    before, then = registry_after(), registry_after((day, False))
    after = registry_after((day, False), (day, True), (date(2026, 1, 10), True))

    assert calendar_of(before, BASE).is_working_day(day)
    assert not calendar_of(then, BASE).is_working_day(day)
    assert calendar_of(after, BASE).is_working_day(day)
    assert calendar_of(after, BASE).is_working_day(date(2026, 1, 10))
    assert not calendar_of(then, BASE).is_working_day(date(2026, 1, 10))
    assert (before.version, then.version, after.version) == (-1, 1, 3)
    entry = after.calendar[day]
    assert (entry.working, entry.basis, entry.by, entry.position) == (True, "QĐ", "operator", 2)
