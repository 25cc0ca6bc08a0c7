"""What every Views must do, whichever adapter provides it."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from adapters.memory.views import MemoryViews
from adapters.storage.views import Views as SqlViews
from hub.application.ports import DeliveryRow, DocumentRow, ViewChanges, Views
from hub.domain.delivery import DeliveryState
from hub.errors import LedgerMismatch

AT = datetime(2026, 11, 22, 1, 30, 0, 123_457, tzinfo=UTC)
ONE, TWO = UUID(int=1), UUID(int=2)


@pytest.fixture(params=["memory", "storage"])
def views(request: pytest.FixtureRequest) -> Views:
    if request.param == "memory":
        return MemoryViews()
    return SqlViews(request.getfixturevalue("database"))


def document(exchange_id: UUID, position: int = 0) -> DocumentRow:
    return DocumentRow(
        exchange_id, "H01", bytes(32), position, AT, "15/QĐ-UBND", "Quyết định", "Về …", 2, 2**33
    )


def delivery(exchange_id: UUID, recipient: str, inbox_seq: int, position: int = 0) -> DeliveryRow:
    state = DeliveryState.CONSIGNED
    return DeliveryRow(exchange_id, recipient, inbox_seq, state, False, position, AT)


def submitted(exchange_id: UUID, position: int, **recipients: int) -> ViewChanges:
    rows = [delivery(exchange_id, code, seq, position) for code, seq in recipients.items()]
    return ViewChanges([document(exchange_id, position)], rows)


def test_new_views_have_seen_nothing(views: Views):
    assert views.position() == 0
    assert views.document(ONE) is None
    assert views.delivery(ONE, "H02") is None
    assert list(views.deliveries(ONE)) == []
    assert list(views.inbox("H02", 0, 10)) == []
    assert list(views.rows()) == []


def test_a_document_and_its_deliveries_come_back(views: Views):
    views.apply(submitted(ONE, 3, H03=1, H02=7), start=0, end=5)

    assert views.position() == 5
    assert views.document(ONE) == document(ONE, 3)
    assert views.delivery(ONE, "H02") == delivery(ONE, "H02", 7, 3)
    assert list(views.deliveries(ONE)) == [
        delivery(ONE, "H02", 7, 3),
        delivery(ONE, "H03", 1, 3),
    ]


def test_a_delivery_replaces_its_former_row(views: Views):
    views.apply(submitted(ONE, 0, H02=1), start=0, end=1)
    collected = replace(delivery(ONE, "H02", 1, 1), state=DeliveryState.COLLECTED, collected=True)
    arrived = replace(collected, state=DeliveryState.ARRIVED, position=2)

    views.apply(ViewChanges([], [collected, arrived]), start=1, end=3)

    assert list(views.deliveries(ONE)) == [arrived]
    assert list(views.inbox("H02", 0, 10)) == [(arrived, document(ONE))]


def test_an_inbox_is_read_in_order_from_anywhere(views: Views):
    for position, exchange_id in enumerate([TWO, ONE, UUID(int=3)]):
        changes = submitted(exchange_id, position, H02=position + 1, H03=9 - position)
        views.apply(changes, start=position, end=position + 1)

    def numbers(agency: str, after: int, limit: int) -> list[int]:
        return [row.inbox_seq for row, _document in views.inbox(agency, after, limit)]

    assert numbers("H02", 0, 10) == [1, 2, 3]
    assert numbers("H02", 1, 1) == [2]
    assert numbers("H02", 3, 10) == []
    assert numbers("H03", 0, 10) == [7, 8, 9]
    assert [document.exchange_id for _row, document in views.inbox("H02", 0, 2)] == [TWO, ONE]


@pytest.mark.parametrize(("start", "end"), [(0, 6), (4, 6), (6, 7), (5, 4)])
def test_events_out_of_turn_are_refused_and_change_nothing(views: Views, start: int, end: int):
    views.apply(ViewChanges([], []), start=0, end=5)

    with pytest.raises(ValueError):
        views.apply(submitted(ONE, 5, H02=1), start=start, end=end)

    assert views.position() == 5
    assert views.document(ONE) is None


def test_a_delivery_of_an_unknown_document_is_refused(views: Views):
    with pytest.raises(LedgerMismatch):
        views.apply(ViewChanges([document(TWO)], [delivery(ONE, "H02", 1)]), start=0, end=1)

    assert views.position() == 0
    assert views.document(TWO) is None


def test_an_inbox_number_is_given_once(views: Views):
    views.apply(submitted(ONE, 0, H02=1), start=0, end=1)

    with pytest.raises(LedgerMismatch):
        views.apply(submitted(TWO, 1, H02=1), start=1, end=2)

    assert views.position() == 1


def test_cleared_views_are_rebuilt_to_the_same_rows(views: Views):
    changes = submitted(ONE, 0, H02=1, H03=1)
    views.apply(changes, start=0, end=1)
    views.apply(submitted(TWO, 1, H02=2), start=1, end=2)
    before = list(views.rows())

    views.clear()
    assert (views.position(), list(views.rows())) == (0, [])
    views.apply(changes, start=0, end=1)
    views.apply(submitted(TWO, 1, H02=2), start=1, end=2)

    assert list(views.rows()) == before
    assert [type(row) for row in before] == [DocumentRow] * 2 + [DeliveryRow] * 3
