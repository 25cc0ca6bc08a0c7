"""What every Views must do, whichever adapter provides it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest

from adapters.memory.views import MemoryViews
from adapters.storage.views import Views as SqlViews
from hub.application.ports import (
    DeliveryRow,
    DocumentRow,
    NoticeKind,
    NoticeRow,
    ViewChanges,
    Views,
)
from hub.domain.delivery import DeliveryState, RecallState
from hub.errors import LedgerMismatch
from tests.support.views import (
    AT,
    ONE,
    TWO,
    new_delivery,
    new_document,
    new_notice,
    only,
    submitted,
)

SECOND = timedelta(seconds=1)
NOTHING = ViewChanges([], [], [])


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def views(request: pytest.FixtureRequest) -> Views:
    if request.param == "memory":
        return MemoryViews()
    return SqlViews(request.getfixturevalue(request.param))


def test_new_views_have_seen_nothing(views: Views):
    assert views.position() == 0
    assert views.document(ONE) is None
    assert views.delivery(ONE, "H02") is None
    assert list(views.deliveries(ONE)) == []
    assert list(views.inbox("H02", 0, 10)) == []
    assert list(views.outbox("H01", 0, 10)) == []
    assert list(views.overdue(AT, 10)) == []
    assert list(views.rows()) == []


def test_a_document_and_its_deliveries_come_back(views: Views):
    views.apply(submitted(ONE, 3, H03=1, H02=1), start=0, end=5)

    assert views.position() == 5
    assert views.document(ONE) == new_document(ONE, 3)
    assert views.delivery(ONE, "H02") == new_delivery(ONE, "H02", 1, 3)
    assert list(views.deliveries(ONE)) == [
        new_delivery(ONE, "H02", 1, 3),
        new_delivery(ONE, "H03", 1, 3),
    ]


def test_many_rows_are_found_at_once_without_those_that_are_not_there(views: Views):
    dated = replace(new_document(TWO, 1), issued_on=date(2026, 11, 2), due_on=date(2026, 12, 1))
    views.apply(submitted(ONE, 0, H03=1, H02=1), start=0, end=1)
    views.apply(replace(submitted(TWO, 1, H02=2), documents=[dated]), start=1, end=2)

    assert views.documents([ONE, UUID(int=3), TWO]) == {ONE: new_document(ONE), TWO: dated}
    assert views.deliveries_at([(ONE, "H03"), (TWO, "H03"), (TWO, "H02")]) == {
        (ONE, "H03"): new_delivery(ONE, "H03", 1),
        (TWO, "H02"): new_delivery(TWO, "H02", 2, 1),
    }
    assert views.documents([]) == views.deliveries_at([]) == {}


def test_a_delivery_replaces_its_former_row(views: Views):
    views.apply(submitted(ONE, 0, H02=1), start=0, end=1)
    collected = replace(
        new_delivery(ONE, "H02", 1, 1), state=DeliveryState.COLLECTED, collected=True
    )
    arrived = replace(collected, state=DeliveryState.ARRIVED, position=2)

    views.apply(ViewChanges([], [collected, arrived], []), start=1, end=3)

    assert list(views.deliveries(ONE)) == [arrived]
    assert list(views.inbox("H02", 0, 10)) == [
        (new_notice(ONE, "H02", 1), arrived, new_document(ONE))
    ]


@pytest.mark.parametrize("recall", RecallState)
def test_a_delivery_says_where_its_recall_stands(views: Views, recall: RecallState):
    views.apply(submitted(ONE, 0, H02=1), start=0, end=1)
    recalled = replace(new_delivery(ONE, "H02", 1), recall=recall)

    views.apply(ViewChanges([], [recalled], []), start=1, end=2)

    found = views.delivery(ONE, "H02")
    assert found == recalled
    assert found is not None
    assert found.recall is recall


def test_a_document_is_replaced_in_the_batch_of_the_one_that_replaces_it(views: Views):
    changes = submitted(ONE, 0, H02=1)
    replaced = new_document(ONE, replaced_by=TWO)
    views.apply(replace(changes, documents=[replaced]), start=0, end=1)
    assert views.document(ONE) == replaced

    # The same in two batches.
    views.clear()
    views.apply(changes, start=0, end=1)
    views.apply(ViewChanges([replaced, new_document(TWO, 1)], [], []), start=1, end=2)
    assert (views.document(ONE), views.document(TWO)) == (replaced, new_document(TWO, 1))
    assert [found for _line, _delivery, found in views.inbox("H02", 0, 10)] == [replaced]


def test_an_inbox_is_read_in_order_from_anywhere(views: Views):
    for position, exchange_id in enumerate([TWO, ONE, UUID(int=3)]):
        changes = submitted(exchange_id, position, H02=position + 1, H03=position + 1)
        views.apply(changes, start=position, end=position + 1)

    def numbers(agency: str, after: int, limit: int) -> list[int]:
        return [line.seq for line, _delivery, _document in views.inbox(agency, after, limit)]

    assert numbers("H02", 0, 10) == [1, 2, 3]
    assert numbers("H02", 1, 1) == [2]
    assert numbers("H02", 3, 10) == []
    assert numbers("H03", 2, 10) == [3]
    assert numbers("H04", 0, 10) == []
    assert [found.exchange_id for _line, _delivery, found in views.inbox("H02", 0, 2)] == [TWO, ONE]


def test_every_line_of_an_inbox_comes_with_what_it_concerns(views: Views):
    views.apply(submitted(ONE, 0, H02=1, H03=1), start=0, end=1)
    views.apply(submitted(TWO, 1, H02=2), start=1, end=2)
    lines = [
        new_notice(ONE, "H02", 3, 2, kind=NoticeKind.RECALL),
        new_notice(ONE, "H02", 4, 2, kind=NoticeKind.REPLACED, by_exchange=TWO),
        new_notice(TWO, "H02", 5, 3, kind=NoticeKind.EXPIRED),
    ]

    views.apply(only(*lines), start=2, end=4)

    one = new_delivery(ONE, "H02", 1), new_document(ONE)
    two = new_delivery(TWO, "H02", 2, 1), new_document(TWO, 1)
    assert list(views.inbox("H02", 2, 10)) == [
        (lines[0], *one),
        (lines[1], *one),
        (lines[2], *two),
    ]
    assert len(views.inbox("H03", 0, 10)) == 1


def test_an_outbox_is_read_in_order_from_anywhere(views: Views):
    views.apply(submitted(ONE, 0, H02=1, H03=1), start=0, end=1)
    lines = [
        new_notice(ONE, "H03", 1, 1, kind=NoticeKind.HANDED_OVER),
        new_notice(ONE, "H02", 2, 2, kind=NoticeKind.STATUS, code="03"),
        new_notice(ONE, "H02", 3, 2, kind=NoticeKind.RECALL_ANSWER, code="15"),
        new_notice(ONE, "H02", 4, 3, kind=NoticeKind.DELIVERY_EXPIRED),
    ]
    for position, some in enumerate([lines[:1], lines[1:3], lines[3:]], 1):
        views.apply(only(*some), start=position, end=position + 1)

    def outbox(after: int, limit: int) -> list[NoticeRow]:
        found = views.outbox("H01", after, limit)
        assert all(document == new_document(ONE) for _line, document in found)
        return [line for line, _document in found]

    assert outbox(0, 10) == lines
    assert outbox(1, 2) == lines[1:3]
    assert outbox(4, 10) == []
    assert list(views.outbox("H02", 0, 10)) == []
    assert list(views.inbox("H01", 0, 10)) == []


def test_an_inbox_and_an_outbox_of_one_agency_are_two_boxes(views: Views):
    to_itself = submitted(ONE, 0, H01=1)
    handed_over = new_notice(ONE, "H01", 1, kind=NoticeKind.HANDED_OVER)

    views.apply(replace(to_itself, notices=[*to_itself.notices, handed_over]), start=0, end=1)

    assert [line for line, *_others in views.inbox("H01", 0, 10)] == list(to_itself.notices)
    assert [line for line, _document in views.outbox("H01", 0, 10)] == [handed_over]


def test_deliveries_are_overdue_from_the_instant_of_their_limit_on_oldest_first(views: Views):
    def with_limit(exchange_id: UUID, recipient: str, seconds: int) -> DeliveryRow:
        expires_at = AT + seconds * SECOND
        return new_delivery(exchange_id, recipient, exchange_id.int, expires_at=expires_at)

    late, early = with_limit(ONE, "H02", 20), with_limit(TWO, "H02", 10)
    also_early = with_limit(TWO, "H03", 10)
    without = new_delivery(ONE, "H03", 1)
    documents = [new_document(ONE), new_document(TWO)]
    deliveries = [late, also_early, without, early]
    views.apply(ViewChanges(documents, deliveries, []), start=0, end=1)

    def overdue(seconds: float, limit: int = 10) -> Sequence[DeliveryRow]:
        return list(views.overdue(AT + seconds * SECOND, limit))

    assert overdue(9.999_999) == []
    assert overdue(10) == [early, also_early]
    assert overdue(1000) == [early, also_early, late]
    assert overdue(1000, 1) == [early]
    assert views.delivery(ONE, "H02") == late


@pytest.mark.parametrize(
    "closed", [{"collected": True}, {"expired": True}, {"recall": RecallState.AGREED}]
)
def test_what_nobody_waits_for_is_not_overdue(views: Views, closed: dict[str, Any]):
    open_row = new_delivery(ONE, "H02", 1, expires_at=AT)
    views.apply(ViewChanges([new_document(ONE)], [open_row], []), start=0, end=1)
    assert list(views.overdue(AT, 10)) == [open_row]

    views.apply(ViewChanges([], [replace(open_row, **closed)], []), start=1, end=2)

    assert list(views.overdue(AT, 10)) == []


@pytest.mark.parametrize(("start", "end"), [(0, 6), (4, 6), (6, 7), (5, 4)])
def test_events_out_of_turn_are_refused_and_change_nothing(views: Views, start: int, end: int):
    views.apply(NOTHING, start=0, end=5)

    with pytest.raises(ValueError):
        views.apply(submitted(ONE, 5, H02=1), start=start, end=end)

    assert views.position() == 5
    assert list(views.rows()) == []


def test_a_delivery_of_an_unknown_document_is_refused(views: Views):
    changes = ViewChanges([new_document(TWO)], [new_delivery(ONE, "H02", 1)], [])

    with pytest.raises(LedgerMismatch):
        views.apply(changes, start=0, end=1)

    assert views.position() == 0
    assert views.document(TWO) is None


def test_an_inbox_number_is_given_to_one_document(views: Views):
    views.apply(submitted(ONE, 0, H02=1), start=0, end=1)

    with pytest.raises(LedgerMismatch):
        views.apply(replace(submitted(TWO, 1, H02=1), notices=[]), start=1, end=2)

    assert views.position() == 1


@pytest.mark.parametrize("kind", [NoticeKind.RECALL, NoticeKind.STATUS])
@pytest.mark.parametrize("apart", [True, False])
def test_a_number_of_a_box_is_given_once(views: Views, kind: NoticeKind, apart: bool):
    views.apply(replace(submitted(ONE, 0, H02=1), notices=[]), start=0, end=1)
    first = new_notice(ONE, "H02", 1, 1, kind=kind)
    second = replace(first, code="04", position=2 if apart else 1)
    if apart:
        views.apply(only(first), start=1, end=2)
    before, position = list(views.rows()), views.position()

    with pytest.raises(LedgerMismatch) as refused:
        views.apply(only(second) if apart else only(first, second), start=position, end=3)

    assert refused.value.position == position
    assert (list(views.rows()), views.position()) == (before, position)


def test_not_even_the_same_line_is_written_twice(views: Views):
    changes = submitted(ONE, 0, H02=1)
    views.apply(changes, start=0, end=1)

    with pytest.raises(LedgerMismatch):
        views.apply(only(replace(changes.notices[0], position=1)), start=1, end=2)


@pytest.mark.parametrize("kind", [NoticeKind.RECALL, NoticeKind.STATUS])
@pytest.mark.parametrize(("exchange_id", "recipient"), [(ONE, "H03"), (TWO, "H02")])
def test_a_line_about_an_unknown_delivery_is_refused(
    views: Views, kind: NoticeKind, exchange_id: UUID, recipient: str
):
    changes = replace(
        submitted(ONE, 0, H02=1), notices=[new_notice(exchange_id, recipient, 1, kind=kind)]
    )

    with pytest.raises(LedgerMismatch):
        views.apply(changes, start=0, end=1)

    assert list(views.rows()) == []


def test_cleared_views_are_rebuilt_to_the_same_rows(views: Views):
    stretches = [
        submitted(TWO, 0, H02=1, H03=1),
        submitted(ONE, 1, H02=2),
        only(
            new_notice(ONE, "H02", 1, 2, kind=NoticeKind.STATUS, code="01"),
            new_notice(TWO, "H03", 2, 2, kind=NoticeKind.RECALL),
        ),
    ]

    def build() -> list[DocumentRow | DeliveryRow | NoticeRow]:
        for position, changes in enumerate(stretches):
            views.apply(changes, start=position, end=position + 1)
        return list(views.rows())

    before = build()
    views.clear()
    assert (views.position(), list(views.rows())) == (0, [])

    assert build() == before
    assert [row for row in before if isinstance(row, DocumentRow)] == [
        new_document(ONE, 1),
        new_document(TWO),
    ]
    assert [(row.exchange_id, row.recipient) for row in before if isinstance(row, DeliveryRow)] == [
        (ONE, "H02"),
        (TWO, "H02"),
        (TWO, "H03"),
    ]
    assert [(row.outbox, row.agency, row.seq) for row in before if isinstance(row, NoticeRow)] == [
        (False, "H02", 1),
        (False, "H02", 2),
        (False, "H03", 1),
        (False, "H03", 2),
        (True, "H01", 1),
    ]
    assert [type(row) for row in before] == [DocumentRow] * 2 + [DeliveryRow] * 3 + [NoticeRow] * 5
