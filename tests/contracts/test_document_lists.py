"""What every DocumentLists must do, whichever adapter provides it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from adapters.memory.lists import MemoryDocumentLists
from adapters.memory.views import MemoryViews
from adapters.storage import lists as storage_lists
from adapters.storage.lists import DocumentLists as SqlDocumentLists
from adapters.storage.views import Views as SqlViews
from hub.application.ports import (
    DeliveryRow,
    DocumentFilter,
    DocumentLists,
    DocumentRow,
    Tally,
    ViewChanges,
    Views,
)
from hub.domain.deadlines import Passed
from hub.domain.delivery import DeliveryState, RecallState
from hub.domain.folding import fold, words_of
from tests.support.views import AT, new_delivery, new_document

ME, OTHER, THIRD = "H02", "H01", "H03"
DAY = timedelta(days=1)
NOTHING_PASSED = Passed(datetime(1970, 1, 1, tzinfo=UTC), date(1970, 1, 1))


@dataclass
class Lists:
    """Views, the lists over them, and documents put in with as little as a test has to say."""

    views: Views
    lists: DocumentLists

    def put(
        self, n: int, *recipients: str, delivery: dict[str, Any] | None = None, **changes: Any
    ) -> UUID:
        """Document number `n`, accepted on day `n`, in the next place of each inbox."""
        position = self.views.position()
        exchange_id = UUID(int=n)
        changes = {"accepted_at": AT + n * DAY, "issued_on": date(2026, 1, 1) + n * DAY} | changes
        document = replace(new_document(exchange_id, position), **changes)
        deliveries = [
            replace(
                new_delivery(exchange_id, recipient, 2 * n, position),
                due_on=document.due_on,
                **(delivery or {}),
            )
            for recipient in recipients or (ME,)
        ]
        self.views.apply(ViewChanges([document], deliveries, []), start=position, end=position + 1)
        return exchange_id

    def change(self, row: DeliveryRow | DocumentRow, **changes: Any) -> None:
        position = self.views.position()
        newer: Any = replace(row, **changes)
        documents = [newer] if isinstance(newer, DocumentRow) else []
        deliveries = [newer] if isinstance(newer, DeliveryRow) else []
        self.views.apply(ViewChanges(documents, deliveries, []), start=position, end=position + 1)

    def received(
        self, agency: str = ME, passed: Passed = NOTHING_PASSED, limit: int = 2, **wanted: Any
    ) -> list[int]:
        """The numbers of all documents received, read page by page."""
        found: list[int] = []
        before, more = None, True
        while more:
            page = self.lists.received(agency, DocumentFilter(**wanted), passed, before, limit)
            assert len(page.rows) <= limit
            assert all(row.exchange_id == document.exchange_id for row, document in page.rows)
            found += [document.exchange_id.int for _row, document in page.rows]
            assert before is None or page.next_before is None or page.next_before < before
            before = page.next_before
            more = before is not None
        return found

    def sent(
        self, agency: str = OTHER, passed: Passed = NOTHING_PASSED, limit: int = 2, **wanted: Any
    ) -> list[int]:
        """The numbers of all documents sent, read page by page."""
        found: list[int] = []
        before, more = None, True
        while more:
            page = self.lists.sent(agency, DocumentFilter(**wanted), passed, before, limit)
            assert len(page.rows) <= limit
            found += [document.exchange_id.int for document, _tallies in page.rows]
            before = page.next_before
            more = before is not None
        return found


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def lists(request: pytest.FixtureRequest) -> Lists:
    if request.param == "memory":
        memory = MemoryViews()
        return Lists(memory, MemoryDocumentLists(memory))
    database = request.getfixturevalue(request.param)
    return Lists(SqlViews(database), SqlDocumentLists(database))


Ask = Callable[..., list[int]]


def both(lists: Lists) -> list[Ask]:
    return [lists.received, lists.sent]


def test_lists_of_nothing_are_empty(lists: Lists):
    assert (lists.received(), lists.sent()) == ([], [])


def test_what_was_received_comes_newest_first_and_belongs_to_one_agency(lists: Lists):
    lists.put(1, ME, THIRD)
    lists.put(2, THIRD)
    lists.put(3, ME)
    lists.put(4, ME, sender=THIRD)

    assert lists.received() == [4, 3, 1]
    assert lists.received(THIRD) == [2, 1]
    assert lists.received(OTHER) == []


def test_what_was_sent_comes_newest_first_and_belongs_to_one_agency(lists: Lists):
    lists.put(1, ME, THIRD)
    lists.put(2, ME, sender=THIRD)
    lists.put(3, THIRD)

    assert lists.sent() == [3, 1]
    assert lists.sent(THIRD) == [2]
    assert lists.sent(ME) == []


def test_a_received_document_comes_with_its_delivery_and_its_words(lists: Lists):
    words = {
        "type_code": "CV",
        "priority": "hoa_toc",
        "issued_on": date(2026, 2, 3),
        "due_on": date(2026, 2, 28),
    }
    exchange_id = lists.put(1, **words)

    ((row, document),) = lists.lists.received(ME, DocumentFilter(), NOTHING_PASSED, None, 10).rows

    assert (row.due_on, row.inbox_seq) == (date(2026, 2, 28), 2)
    assert row == lists.views.delivery(exchange_id, ME)
    assert document == lists.views.document(exchange_id)
    assert {name: getattr(document, name) for name in words} == words


def test_a_sent_document_comes_with_its_deliveries_counted(lists: Lists):
    exchange_id = lists.put(1, ME, THIRD, "H04", "H05")
    for recipient, changes in (
        (THIRD, {"state": DeliveryState.FINISHED}),
        ("H04", {"recall": RecallState.ASKED}),
        ("H05", {"expired": True}),
    ):
        row = lists.views.delivery(exchange_id, recipient)
        assert row is not None
        lists.change(row, **changes, position=lists.views.position())
    lists.put(2, ME)

    (_second, (document, tallies)) = lists.lists.sent(
        OTHER, DocumentFilter(), NOTHING_PASSED, None, 10
    ).rows

    assert document == lists.views.document(exchange_id)
    consigned, none = DeliveryState.CONSIGNED, RecallState.NONE
    assert list(tallies) == [
        Tally(consigned, none, False, 1),
        Tally(consigned, none, True, 1),
        Tally(consigned, RecallState.ASKED, False, 1),
        Tally(DeliveryState.FINISHED, none, False, 1),
    ]


def test_a_page_leads_to_what_is_older_whatever_comes_in_meanwhile(lists: Lists):
    for n in (1, 2, 3):
        lists.put(n, ME)
    nothing = DocumentFilter(), NOTHING_PASSED
    received = lists.lists.received(ME, *nothing, None, 2)
    sent = lists.lists.sent(OTHER, *nothing, None, 2)
    assert received.next_before is not None
    assert sent.next_before is not None

    lists.put(4, ME)

    rest = lists.lists.received(ME, *nothing, received.next_before, 2)
    assert [document.exchange_id.int for _row, document in rest.rows] == [1]
    assert rest.next_before is None
    others = lists.lists.sent(OTHER, *nothing, sent.next_before, 2)
    assert [document.exchange_id.int for document, _tallies in others.rows] == [1]
    assert others.next_before is None


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 100])
def test_pages_of_any_size_hold_the_same(lists: Lists, limit: int):
    for n in range(1, 8):
        lists.put(n, type_name="Công văn" if n % 3 else "Thông báo")

    for ask in both(lists):
        assert ask(limit=limit) == [7, 6, 5, 4, 3, 2, 1]
        assert ask(limit=limit, type=fold("Thông báo")) == [6, 3]


def test_documents_are_found_by_state(lists: Lists):
    for n, state in enumerate(DeliveryState, 1):
        lists.put(n, delivery={"state": state})

    for ask in both(lists):
        assert ask(states=(DeliveryState.CONSIGNED,)) == [1]
        assert ask(states=(DeliveryState.FINISHED,)) == [8]
        assert ask(states=(DeliveryState.COLLECTED, DeliveryState.ARRIVED)) == [3, 2]
        assert ask(states=tuple(DeliveryState)) == [8, 7, 6, 5, 4, 3, 2, 1]


def test_documents_are_found_by_the_other_agency(lists: Lists):
    lists.put(1, ME, THIRD)
    lists.put(2, ME, sender=THIRD)

    assert lists.received(other_agency=OTHER) == [1]
    assert lists.received(other_agency=THIRD) == [2]
    assert lists.received(other_agency=ME) == []
    assert lists.sent(other_agency=THIRD) == [1]
    assert lists.sent(other_agency=ME) == [1]
    assert lists.sent(other_agency=OTHER) == []


def test_what_a_filter_says_of_deliveries_must_hold_for_one_of_them(lists: Lists):
    exchange_id = lists.put(1, ME, THIRD)
    row = lists.views.delivery(exchange_id, THIRD)
    assert row is not None
    lists.change(row, state=DeliveryState.FINISHED, position=lists.views.position())

    finished = (DeliveryState.FINISHED,)
    assert lists.sent(states=finished, other_agency=THIRD) == [1]
    assert lists.sent(states=finished, other_agency=ME) == []


def test_documents_are_found_by_kind_priority_and_code(lists: Lists):
    lists.put(1, type_name="Công văn", type_code="CV", priority="normal", code="125/UBND-VP")
    lists.put(2, type_name="Quyết định", type_code="QĐ", priority="khan", code="15/QĐ-UBND")
    lists.put(3, type_name="Công văn", type_code="", priority="hoa_toc", code="1_5%/SYT")

    for ask in both(lists):
        assert ask(type=fold("CÔNG VĂN")) == [3, 1]
        assert ask(type=fold("qđ")) == [2]
        assert ask(type="cong") == []
        assert ask(priorities=("khan",)) == [2]
        assert ask(priorities=("hoa_toc", "normal")) == [3, 1]
        assert ask(code=fold("15/qđ")) == [2]
        assert ask(code=fold("ubnd")) == [2, 1]
        assert ask(code="1_5%") == [3]
        assert ask(code="1%") == []


def test_documents_are_found_by_all_words_of_their_subject(lists: Lists):
    lists.put(1, subject="Về việc triển khai đề án liên thông")
    lists.put(2, subject="V/v Đề nghị báo cáo thuế")
    lists.put(3, subject="")

    for ask in both(lists):
        assert ask(words=words_of("đề án")) == [1]
        assert ask(words=words_of("DE")) == [2, 1]
        assert ask(words=words_of("thuế đề")) == [2]
        assert ask(words=words_of("thu")) == []
        assert ask(words=words_of("đề thông tin")) == []


def test_documents_are_found_by_when_they_were_accepted(lists: Lists):
    for n in range(1, 7):
        lists.put(n)

    for ask in both(lists):
        assert ask(accepted_from=AT + 4 * DAY) == [6, 5, 4]
        assert ask(accepted_before=AT + 4 * DAY) == [3, 2, 1]
        assert ask(accepted_from=AT + 2 * DAY, accepted_before=AT + 5 * DAY) == [4, 3, 2]
        assert ask(accepted_from=AT + 2.5 * DAY, accepted_before=AT + 3.5 * DAY) == [3]
        assert ask(accepted_from=AT + 9 * DAY) == []
        assert ask(accepted_before=AT) == []
        assert ask(accepted_from=AT + 4 * DAY, accepted_before=AT + 2 * DAY) == []
        assert ask("H09", accepted_from=AT) == []


def test_documents_are_found_by_when_they_were_issued(lists: Lists):
    for n in range(1, 5):
        lists.put(n)
    lists.put(5, issued_on=None)

    day = [date(2026, 1, 1) + n * DAY for n in range(6)]
    for ask in both(lists):
        assert ask(issued_from=day[3]) == [4, 3]
        assert ask(issued_to=day[2]) == [2, 1]
        assert ask(issued_from=day[2], issued_to=day[3]) == [3, 2]


def test_documents_are_found_by_recall_and_replacement(lists: Lists):
    lists.put(1)
    lists.put(2, delivery={"recall": RecallState.ASKED})
    lists.put(3, delivery={"recall": RecallState.REFUSED})
    lists.put(4, replaced_by=UUID(int=1))

    for ask in both(lists):
        assert ask(recalled=True) == [3, 2]
        assert ask(recalled=False) == [4, 1]
        assert ask(replaced=True) == [4]
        assert ask(replaced=False) == [3, 2, 1]


def test_whoever_agreed_to_a_recall_no_longer_finds_the_document_by_its_words(lists: Lists):
    lists.put(1, subject="mật", delivery={"recall": RecallState.AGREED})

    assert lists.received() == [1]
    assert lists.received(words=("mat",)) == []
    assert lists.sent(words=("mat",)) == [1]


PASSED = Passed(AT + 5 * DAY, date(2026, 6, 30))
DUE = {"due_on": date(2026, 6, 30)}
NOT_YET_DUE = {"due_on": date(2026, 7, 1)}


@pytest.mark.parametrize(
    ("n", "document", "delivery", "late"),
    [
        (4, {}, {}, True),
        (5, {}, {}, False),
        (4, {}, {"state": DeliveryState.COLLECTED}, False),
        (4, {}, {"state": DeliveryState.ARRIVED}, False),
        (9, DUE, {}, True),
        (9, NOT_YET_DUE, {}, False),
        (9, DUE, {"state": DeliveryState.PROCESSING}, True),
        (9, DUE, {"state": DeliveryState.REFUSED}, False),
        (9, DUE, {"state": DeliveryState.FINISHED}, False),
        (4, {"replaced_by": UUID(int=7)}, {}, False),
        (4, DUE, {"expired": True}, False),
        (4, DUE, {"recall": RecallState.ASKED}, False),
        (4, DUE, {"recall": RecallState.AGREED}, False),
        (4, DUE, {"recall": RecallState.REFUSED}, True),
    ],
)
def test_what_is_overdue_is_found(
    lists: Lists, n: int, document: dict[str, Any], delivery: dict[str, Any], late: bool
):
    lists.put(n, delivery=delivery, **document)

    for ask in both(lists):
        assert ask(passed=PASSED) == [n]
        assert ask(passed=PASSED, overdue_only=True) == ([n] if late else [])


def test_erased_words_are_not_found_and_nothing_else_is_lost(lists: Lists):
    exchange_id = lists.put(1, ME, subject="Mật", due_on=date(2026, 1, 1))
    document, row = lists.views.document(exchange_id), lists.views.delivery(exchange_id, ME)
    assert document is not None
    assert row is not None

    lists.change(
        document, code="", type_name="", subject="", type_code="", priority="", issued_on=None,
        due_on=None, erased=True,
    )  # fmt: skip
    lists.change(row, due_on=None)

    for ask in both(lists):
        assert ask() == [1]
        assert ask(words=("mat",)) == []
        assert ask(issued_from=date(2000, 1, 1)) == []
        assert ask(overdue_only=True, passed=Passed(AT, date(2030, 1, 1))) == []


def test_a_filter_that_fits_little_is_looked_for_piece_by_piece(
    lists: Lists, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(storage_lists, "RECEIVED_SCAN_MAX", 3)
    monkeypatch.setattr(storage_lists, "SENT_SCAN_MAX", 2)
    for n in range(1, 11):
        lists.put(n, subject="cần tìm" if n in {1, 7, 8} else "khác")

    for ask in both(lists):
        for limit in (1, 2, 10):
            assert ask(words=("tim",), limit=limit) == [8, 7, 1]
            assert ask(words=("khong",), limit=limit) == []
