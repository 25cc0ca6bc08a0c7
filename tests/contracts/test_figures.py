"""What every Figures must do, whichever adapter provides it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest

from adapters.memory.figures import MemoryFigures
from adapters.memory.views import MemoryViews
from adapters.storage.figures import Figures as SqlFigures
from adapters.storage.views import Views as SqlViews
from hub.application.ports import (
    DeliveryFigures,
    DocumentFigures,
    Figures,
    FiguresWanted,
    NoticeKind,
    ViewChanges,
    Views,
)
from hub.domain.delivery import DeliveryState, RecallState
from tests.support.views import AT, new_delivery, new_document, new_notice

H1, H2, H3 = "H01", "H02", "H03"
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
Put = Callable[..., None]


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def stores(request: pytest.FixtureRequest) -> tuple[Views, Figures]:
    if request.param == "memory":
        memory = MemoryViews()
        return memory, MemoryFigures(memory)
    database = request.getfixturevalue(request.param)
    return SqlViews(database), SqlFigures(database)


@pytest.fixture
def put(stores: tuple[Views, Figures]) -> Put:
    views, _ = stores
    numbers = {H2: 0, H3: 0}
    sent = 0

    def put(n: int, *said: tuple[NoticeKind, str, timedelta], to: str = H2, **changes: Any) -> None:
        """Document `n`, accepted on day `n`, and what was said of it how long afterwards."""
        nonlocal sent
        exchange, position = UUID(int=n), views.position()
        at = AT + n * DAY
        row = {name: changes.pop(name) for name in ("recall", "state") if name in changes}
        document = replace(new_document(exchange, position), accepted_at=at, **changes)
        numbers[to] += 1
        first = numbers[to]
        delivery = replace(
            new_delivery(exchange, to, first, position),
            due_on=document.due_on,
            updated_at=at,
            **row,
        )
        notices = [replace(new_notice(exchange, to, first, position), recorded_at=at)]
        for kind, code, later in said:
            outbox = kind >= NoticeKind.HANDED_OVER
            if outbox:
                sent += 1
            else:
                numbers[to] += 1
            notices.append(
                replace(
                    new_notice(exchange, to, sent if outbox else numbers[to], position),
                    outbox=outbox,
                    agency=H1 if outbox else to,
                    kind=kind,
                    code=code,
                    recorded_at=at + later,
                )
            )
        changed = ViewChanges([document], [delivery], notices)
        views.apply(changed, start=position, end=position + 1)

    return put


def received(stores: Any, **wanted: Any) -> list[DeliveryFigures]:
    with stores[1].snapshot() as snapshot:
        return sorted(snapshot.received(FiguresWanted(**wanted)), key=lambda one: one.accepted_at)


def sent(stores: Any, **wanted: Any) -> list[DocumentFigures]:
    with stores[1].snapshot() as snapshot:
        return sorted(snapshot.sent(FiguresWanted(**wanted)), key=lambda one: one.accepted_at)


def test_nothing_has_no_figures(stores):
    with stores[1].snapshot() as snapshot:
        assert snapshot.position == 0
        assert list(snapshot.sent(FiguresWanted())) == []
        assert list(snapshot.received(FiguresWanted())) == []


def test_times_are_those_of_what_was_said_first(stores, put):
    due = date(2026, 11, 30)
    put(
        1,
        (NoticeKind.STATUS, "01", 2 * HOUR),
        (NoticeKind.HANDED_OVER, "", HOUR),
        (NoticeKind.STATUS, "06", 4 * HOUR),
        (NoticeKind.STATUS, "02", 3 * HOUR),
        due_on=due,
        state=DeliveryState.FINISHED,
    )
    at = AT + DAY
    assert received(stores) == [
        DeliveryFigures(H2, "Quyết định", at, due, at + HOUR, at + 3 * HOUR, None)
    ]
    assert sent(stores) == [DocumentFigures(H1, "Quyết định", at)]


@pytest.mark.parametrize("kind", [NoticeKind.REPLACED, NoticeKind.EXPIRED, NoticeKind.RECALL])
def test_what_is_not_waited_for_any_more_says_since_when(stores, put, kind):
    recall = RecallState.ASKED if kind is NoticeKind.RECALL else RecallState.NONE
    put(1, (kind, "", 5 * HOUR), recall=recall)
    (one,) = received(stores)
    assert (one.taken_over_at, one.answered_at) == (None, None)
    assert one.released_at == AT + DAY + 5 * HOUR


def test_a_recall_that_was_refused_releases_nobody(stores, put):
    put(1, (NoticeKind.RECALL, "", HOUR), recall=RecallState.REFUSED)
    put(2, (NoticeKind.RECALL, "", HOUR), (NoticeKind.EXPIRED, "", 9 * HOUR),
        recall=RecallState.REFUSED)  # fmt: skip
    one, two = received(stores)
    assert one.released_at is None
    assert two.released_at == AT + 2 * DAY + 9 * HOUR


def test_the_answer_to_a_recall_is_no_answer_to_the_document(stores, put):
    put(1, (NoticeKind.RECALL_ANSWER, "16", HOUR), recall=RecallState.REFUSED)
    (one,) = received(stores)
    assert (one.taken_over_at, one.answered_at) == (None, None)


def test_figures_are_limited_by_agency_and_by_time(stores, put):
    for n in range(1, 6):
        put(n, to=H2 if n % 2 else H3, type_name=f"Loại {n}")
    assert [one.kind for one in received(stores, agency=H3)] == ["Loại 2", "Loại 4"]
    assert sent(stores, agency=H3) == []
    assert len(sent(stores, agency=H1)) == 5
    within = {"start": AT + 2 * DAY, "end": AT + 4 * DAY}
    assert [one.kind for one in received(stores, **within)] == ["Loại 2", "Loại 3"]
    assert [one.kind for one in sent(stores, **within)] == ["Loại 2", "Loại 3"]
    assert received(stores, start=AT + 9 * DAY) == []


def test_a_snapshot_does_not_change_while_it_is_read(stores, put):
    put(1)
    with stores[1].snapshot() as snapshot:
        position = snapshot.position
        put(2)
        assert len(list(snapshot.sent(FiguresWanted()))) == 1
        assert len(list(snapshot.received(FiguresWanted()))) == 1
        assert snapshot.position == position == 1
    with stores[1].snapshot() as snapshot:
        assert snapshot.position == 2
