"""What every RelayList must do, whichever adapter provides it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from adapters.memory.relays import MemoryRelayList
from adapters.memory.views import MemoryViews
from adapters.storage.relays import RelayList as SqlRelayList
from adapters.storage.views import Views as SqlViews
from hub.application.ports import RelayList, RelayRow, ViewChanges, Views
from hub.domain.delivery import DeliveryState
from hub.domain.relay import Direction, RelayKind, RelayState
from tests.support.views import AT, ONE, TWO, new_delivery, submitted

SECOND = timedelta(seconds=1)
KEY, OTHER_KEY = b"k" * 32, b"o" * 32


@pytest.fixture(params=["memory", "storage"])
def lists(request: pytest.FixtureRequest) -> tuple[Views, RelayList]:
    if request.param == "memory":
        views = MemoryViews()
        return views, MemoryRelayList(views)
    database = request.getfixturevalue("database")
    return SqlViews(database), SqlRelayList(database)


def row(number: int, state: RelayState = RelayState.WAITING, **changes: Any) -> RelayRow:
    made = RelayRow(
        relay_id=UUID(int=number),
        direction=Direction.OUT,
        kind=RelayKind.DOCUMENT,
        exchange_id=ONE,
        agency="",
        status="",
        state=state,
        position=number,
        since=AT,
        updated_at=AT,
    )
    return replace(made, **changes)


@pytest.fixture
def write(lists: tuple[Views, RelayList]) -> Callable[..., None]:
    """Add rows, or replace their former ones."""
    views, _found = lists

    def write(*rows: RelayRow) -> None:
        start = views.position()
        views.apply(ViewChanges([], [], [], relays=rows), start=start, end=start + 1)

    return write


def test_a_row_comes_back_whole_and_gives_way_to_the_next(lists, write):
    views, _found = lists
    first = row(
        7,
        kind=RelayKind.STATUS,
        agency="H02",
        status="03",
        package=b"p" * 32,
        package_bytes=5 * 2**30,
        request_bytes=1200,
        document_key=KEY,
        fingerprint=OTHER_KEY,
    )
    write(first)
    assert views.relay(first.relay_id) == first
    assert list(views.relays_of(ONE)) == [first]
    assert list(views.relays_of(TWO)) == []

    failed = replace(
        first,
        state=RelayState.FAILED,
        attempts=2,
        again_at=AT + SECOND,
        reason="AXIS_REFUSED",
        code="20",
        axis_id="7",
        updated_at=AT + SECOND,
    )
    write(failed)
    assert views.relay(first.relay_id) == failed
    assert list(views.rows()) == [failed]
    views.clear()
    assert views.relay(first.relay_id) is None


def test_what_is_due_is_what_goes_out_and_waits_for_nothing(lists, write):
    _views, found = lists
    later = row(4, RelayState.FAILED, again_at=AT + SECOND, attempts=1)
    write(
        row(3),
        row(2, RelayState.QUEUED),
        later,
        row(5, RelayState.SENT),
        row(6, RelayState.PARKED),
        row(8, RelayState.QUEUED, direction=Direction.IN),
        row(9, RelayState.TAKEN, direction=Direction.IN),
    )

    assert [each.position for each in found.due(AT, None, 10)] == [2, 3]
    assert [each.position for each in found.due(AT + SECOND, None, 10)] == [2, 3, 4]


def test_pages_go_on_within_one_position(lists, write):
    _views, found = lists
    write(*(row(number, position=5) for number in range(1, 6)), row(6, position=6))

    pages, after = [], None
    while page := found.due(AT, after, 2):
        pages += page
        after = (page[-1].position, page[-1].relay_id)
    assert [each.relay_id.int for each in pages] == [1, 2, 3, 4, 5, 6]


def test_what_came_is_known_by_its_id_and_by_its_name(lists, write):
    _views, found = lists
    came = row(1, RelayState.TAKEN, direction=Direction.IN, axis_id="a", document_key=KEY)
    write(came, row(2, RelayState.SENT, axis_id="b"))

    assert found.known("a") == came
    assert found.known("b") is None, "that is ours"
    assert found.known("c") is None
    assert list(found.called(KEY)) == [came]
    assert list(found.called(OTHER_KEY)) == []


def test_lists_hold_what_is_not_over_unless_a_state_is_asked_for(lists, write):
    _views, found = lists
    write(
        row(1, RelayState.SENT),
        row(2, RelayState.PARKED),
        row(3, RelayState.PARKED, direction=Direction.IN),
        row(4, RelayState.TAKEN, direction=Direction.IN),
        row(5),
    )

    def numbers(*asked: Any) -> list[int]:
        return [each.position for each in found.listed(*asked, None, 10)]

    assert numbers(None, None) == [2, 3, 5]
    assert numbers(RelayState.PARKED, None) == [2, 3]
    assert numbers(RelayState.PARKED, Direction.IN) == [3]
    assert numbers(RelayState.SENT, Direction.OUT) == [1]


def test_what_was_sent_lately_is_found_by_when_it_was(lists, write):
    _views, found = lists
    write(row(1, RelayState.SENT), row(2, RelayState.SENT, updated_at=AT + SECOND), row(3))

    assert [each.position for each in found.sent_since(AT + SECOND, None, 10)] == [2]
    assert [each.position for each in found.sent_since(AT, None, 10)] == [1, 2]
    assert [each.position for each in found.sent_since(AT, (1, UUID(int=1)), 10)] == [2]


def test_tallies_count_everything_and_name_the_oldest(lists, write):
    _views, found = lists
    write(
        row(1, since=AT + SECOND, updated_at=AT + SECOND),
        row(2),
        row(3, RelayState.TAKEN, direction=Direction.IN),
    )

    seen = [(each.direction, each.state, each.count, each.oldest) for each in found.tallies()]
    assert seen == [
        (Direction.OUT, RelayState.WAITING, 2, AT),
        (Direction.IN, RelayState.TAKEN, 1, AT),
    ]


def test_the_oldest_unanswered_is_of_a_document_of_which_somebody_said_nothing(lists):
    views, found = lists
    views.apply(submitted(ONE, 0, H02=1), start=0, end=1)
    sent = row(1, RelayState.SENT, updated_at=AT + SECOND)
    views.apply(ViewChanges([], [], [], relays=[sent]), start=1, end=2)
    assert found.oldest_unanswered() == AT + SECOND

    arrived = replace(
        new_delivery(ONE, "H02", 1, 2), state=DeliveryState.ARRIVED, position=2, collected=True
    )
    views.apply(ViewChanges([], [arrived], []), start=2, end=3)
    assert found.oldest_unanswered() is None
