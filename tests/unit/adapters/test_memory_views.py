"""Where the views in memory are stricter than the database."""

from dataclasses import replace
from datetime import timedelta, timezone

import pytest

from adapters.memory.views import MemoryViews
from hub.application.ports import NoticeKind, ViewChanges
from hub.domain.delivery import DeliveryState, RecallState
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

HANOI = timezone(timedelta(hours=7))
DELIVERY = new_delivery(ONE, "H02", 1)


@pytest.fixture
def views() -> MemoryViews:
    views = MemoryViews()
    views.apply(submitted(ONE, 0, H02=1), start=0, end=1)
    return views


@pytest.mark.parametrize("kind", [NoticeKind.RECALL, NoticeKind.STATUS])
def test_the_numbers_of_a_box_have_no_gaps(views: MemoryViews, kind: NoticeKind):
    last = 1 if kind is NoticeKind.RECALL else 0

    with pytest.raises(ValueError, match=f"line {last + 2} of a box follows {last}"):
        views.apply(only(new_notice(ONE, "H02", last + 2, 1, kind=kind)), start=1, end=2)

    views.apply(
        only(*(new_notice(ONE, "H02", last + n, 1, kind=kind) for n in (1, 2))), start=1, end=2
    )


@pytest.mark.parametrize(
    ("former", "later", "match"),
    [
        ({"state": DeliveryState.FINISHED}, {"state": DeliveryState.ARRIVED}, "steps back"),
        ({"recall": RecallState.ASKED}, {"recall": RecallState.NONE}, "steps back"),
        ({"recall": RecallState.AGREED}, {"recall": RecallState.ASKED}, "steps back"),
        ({"recall": RecallState.REFUSED}, {"recall": RecallState.AGREED}, "steps back"),
        ({"recall": RecallState.AGREED}, {"recall": RecallState.REFUSED}, "second time"),
        ({"collected": True}, {"collected": False}, "stays so"),
        ({"expired": True}, {"expired": False}, "stays so"),
    ],
)
def test_nothing_about_a_delivery_steps_back(
    views: MemoryViews, former: dict[str, object], later: dict[str, object], match: str
):
    before = replace(DELIVERY, position=1, **former)
    views.apply(ViewChanges([], [before], []), start=1, end=2)

    with pytest.raises(ValueError, match=match):
        views.apply(ViewChanges([], [replace(before, **later)], []), start=2, end=3)

    assert views.delivery(ONE, "H02") == before


def test_a_document_stays_where_it_stood(views: MemoryViews):
    with pytest.raises(ValueError, match="second time"):
        views.apply(ViewChanges([new_document(ONE, 1)], [], []), start=1, end=2)


@pytest.mark.parametrize("position", [0, 2])
def test_what_is_new_is_from_its_stretch(views: MemoryViews, position: int):
    rows = {
        "documents": [new_document(TWO, position)],
        "deliveries": [replace(DELIVERY, state=DeliveryState.ARRIVED, position=position)],
        "notices": [new_notice(ONE, "H02", 2, position, kind=NoticeKind.RECALL)],
    }
    for name, some in rows.items():
        with pytest.raises(ValueError, match=f"position {position}"):
            views.apply(replace(only(), **{name: some}), start=1, end=2)


def test_every_instant_is_in_utc(views: MemoryViews):
    there = AT.astimezone(HANOI)
    line = new_notice(ONE, "H02", 2, 1, kind=NoticeKind.RECALL)
    rows = {
        "documents": [replace(new_document(TWO, 1), accepted_at=there)],
        "deliveries": [replace(DELIVERY, expires_at=there)],
        "notices": [replace(line, recorded_at=there)],
    }
    for name, some in rows.items():
        with pytest.raises(ValueError, match="UTC"):
            views.apply(replace(only(), **{name: some}), start=1, end=2)
