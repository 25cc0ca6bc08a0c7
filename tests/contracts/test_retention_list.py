"""What every RetentionList must do, and what the policies make of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

import adapters.storage.retention as storage
from adapters.memory.retention import MemoryRetentionList
from adapters.memory.views import MemoryViews
from adapters.storage.retention import RetentionList as SqlRetentionList
from adapters.storage.views import Views as SqlViews
from hub.application.ports import DocumentRow, OrderRow, ViewChanges
from hub.application.retention import Retention, years_before
from hub.domain.values import uuid7
from tests.support.builders import at_once, run
from tests.support.views import new_document

NOW = datetime(2026, 11, 22, 3, tzinfo=UTC)


@dataclass
class Archive:
    """Views with documents of any age, and the list over them."""

    views: Any
    list: Any

    def put(self, age_days: int, type_name: str, type_code: str = "") -> DocumentRow:
        position = self.views.position()
        at = NOW - timedelta(days=age_days)
        row = replace(
            new_document(uuid7(at, position.to_bytes(10, "big")), position),
            accepted_at=at,
            type_name=type_name,
            type_code=type_code,
        )
        self.apply(ViewChanges([row], [], []))
        return row

    def apply(self, changes: ViewChanges) -> None:
        start = self.views.position()
        self.views.apply(changes, start=start, end=start + 1)

    def order(self, row: DocumentRow, **changes: Any) -> None:
        position = self.views.position()
        order = OrderRow(
            position=position,
            digest=position.to_bytes(32, "big"),
            action="erasure",
            exchange_id=row.exchange_id,
            envelope_digest=row.envelope_digest,
            reason="retention",
            basis="Luật Lưu trữ",
            ordered_by="operator",
            ordered_at=NOW,
            lapses_at=NOW + timedelta(days=7),
        )
        self.apply(ViewChanges([], [], [], [replace(order, **changes)]))

    def due(self, years: dict[str, int], at: datetime = NOW, page: int = 2) -> list[UUID]:
        """Every document that is due, page by page."""
        retention = Retention(years=years, lists=self.list, offload=at_once, clock=lambda: at)
        found: list[UUID] = []
        after: UUID | None = None
        for _ in range(100):
            due = run(retention.due(after, page))
            assert len(due.documents) <= page
            found += [each.document.exchange_id for each in due.documents]
            if (after := due.next_after) is None:
                return found
        raise AssertionError("it goes on for ever")


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def archive(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Archive:
    if request.param == "memory":
        views = MemoryViews()
        return Archive(views, MemoryRetentionList(views))
    monkeypatch.setattr(storage, "SCAN_MAX", 3)
    database = request.getfixturevalue(request.param)
    return Archive(SqlViews(database), SqlRetentionList(database))


def ids(rows: Sequence[DocumentRow]) -> list[UUID]:
    return [row.exchange_id for row in rows]


def test_without_policies_nothing_is_due(archive: Archive):
    archive.put(9000, "Giấy mời")
    assert archive.due({}) == []


def test_a_kind_is_kept_for_its_years_from_the_hubs_acceptance(archive: Archive):
    old = [archive.put(730 + n, "Giấy mời") for n in (9, 5, 1)]
    archive.put(729, "Giấy mời")
    archive.put(5000, "Công văn")

    assert archive.due({"Giấy mời": 2}) == ids(old)
    assert archive.due({"GIAY MOI": 2}) == ids(old)
    assert archive.due({"Giấy mời": 3}) == []


def test_a_kind_is_named_by_its_code_as_well_and_the_longer_time_holds(archive: Archive):
    row = archive.put(4 * 366, "Lịch công tác", "LCT")

    assert archive.due({"LCT": 3}) == ids([row])
    assert archive.due({"LCT": 3, "Lịch công tác": 4}) == ids([row])
    assert archive.due({"LCT": 3, "Lịch công tác": 5}) == []


def test_what_is_erased_or_ordered_is_not_due(archive: Archive):
    erased, ordered, lapsed, left = (archive.put(5000, "Giấy mời") for _ in range(4))
    archive.apply(
        ViewChanges([replace(erased, code="", type_name="", subject="", erased=True)], [], [])
    )
    archive.order(ordered)
    archive.order(lapsed, lapses_at=NOW - timedelta(seconds=1))

    assert archive.due({"Giấy mời": 1}) == ids([lapsed, left])


def test_what_is_due_is_found_behind_much_that_is_not(archive: Archive):
    for n in range(20):
        archive.put(6000 - n, "Công văn")
    due = [archive.put(5000 - n, "Giấy mời") for n in range(5)]

    for page in (1, 2, 3, 100):
        assert archive.due({"Giấy mời": 1}, page=page) == ids(due)


@pytest.mark.parametrize(
    ("at", "years", "before"),
    [
        ("2026-11-22", 2, "2024-11-22"),
        ("2028-02-29", 4, "2024-02-29"),
        ("2028-02-29", 1, "2027-02-28"),
    ],
)
def test_years_are_counted_by_the_calendar(at: str, years: int, before: str):
    day = datetime.fromisoformat(at).replace(tzinfo=UTC)
    assert years_before(day, years) == datetime.fromisoformat(before).replace(tzinfo=UTC)
