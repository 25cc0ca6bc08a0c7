"""What is counted, in which period, and when it counts as late."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from hub.application import statistics
from hub.application.calendar import CorrectCalendar
from hub.application.ports import FiguresWanted
from hub.application.statistics import Period, Statistics
from hub.domain.deadlines import was_late
from hub.domain.working_days import WorkingDays
from hub.errors import TooLarge
from tests.support.audited import counting_of
from tests.support.builders import (
    OPERATOR,
    OTHER,
    RECIPIENT,
    SENDER,
    MemoryHub,
    Party,
    new_hub,
    new_request_id,
    run,
)

HANOI = ZoneInfo("Asia/Ho_Chi_Minh")
CALENDAR = WorkingDays(lambda day: day.weekday() < 5, HANOI)
sender, recipient, other = Party(SENDER), Party(RECIPIENT), Party(OTHER)


def counted(hub: MemoryHub, period: Period = Period.MONTH, **wanted: object) -> Statistics:
    return run(counting_of(hub, CALENDAR).count(period, FiguresWanted(**wanted)))  # type: ignore[arg-type]


def rows(found: Statistics) -> dict[tuple[str, str, str], tuple[int, int, int, int]]:
    return {
        (row.period_start.isoformat(), row.agency, row.kind): (
            row.counts.sent, row.counts.received, row.counts.answered, row.counts.late
        )
        for row in found.rows
    }  # fmt: skip


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=HANOI)


def moved(hub: MemoryHub, to: datetime) -> None:
    hub.clock.advance(to - hub.clock())


@pytest.mark.parametrize(
    ("period", "first"),
    [
        (Period.DAY, "2026-12-31"),
        (Period.MONTH, "2026-12-01"),
        (Period.QUARTER, "2026-10-01"),
        (Period.YEAR, "2026-01-01"),
    ],
)
def test_a_period_begins_on_its_first_day(period, first):
    assert period.first_day(date(2026, 12, 31)).isoformat() == first


def test_every_day_lies_in_the_quarter_it_belongs_to():
    day = date(2024, 1, 1)
    while day.year < 2026:
        first = Period.QUARTER.first_day(day)
        assert first.month in {1, 4, 7, 10}
        assert first <= day < first + timedelta(days=93)
        assert (day.month - 1) // 3 == (first.month - 1) // 3
        day += timedelta(days=1)


def test_periods_begin_at_midnight_in_vietnam():
    hub = new_hub()
    moved(hub, at("2026-12-31T23:59:59.999999"))
    hub.submit(SENDER, sender.envelope(RECIPIENT))
    hub.clock.advance(timedelta(microseconds=1))
    # In UTC it is still the old year for seven hours.
    assert hub.clock().astimezone(UTC).year == 2026
    hub.submit(SENDER, sender.envelope(RECIPIENT))
    found = rows(counted(hub, Period.YEAR))
    assert found == {
        ("2026-01-01", SENDER, "Công văn"): (1, 0, 0, 0),
        ("2026-01-01", RECIPIENT, "Công văn"): (0, 1, 0, 0),
        ("2027-01-01", SENDER, "Công văn"): (1, 0, 0, 0),
        ("2027-01-01", RECIPIENT, "Công văn"): (0, 1, 0, 0),
    }
    days = rows(counted(hub, Period.DAY, start=at("2027-01-01T00:00")))
    assert {key[0] for key in days} == {"2027-01-01"}


def test_figures_say_which_position_they_are_of():
    hub = new_hub()
    hub.submit(SENDER, sender.envelope(RECIPIENT))
    found = counted(hub)
    assert found.position == hub.receipts.size == hub.views.position()
    assert found.checkpoint == hub.receipts.checkpoint()
    assert (found.at, found.time_zone) == (hub.clock(), "Asia/Ho_Chi_Minh")


def test_answered_and_late_are_counted_where_the_document_was_received():
    hub = new_hub()
    moved(hub, at("2026-11-30T10:00"))  # A Monday.
    in_time = sender.envelope(RECIPIENT, OTHER, document={"due_on": "2026-12-02"})
    hub.submit(SENDER, in_time)
    hub.report(RECIPIENT, recipient.status(in_time, "01"))
    moved(hub, at("2026-12-01T09:00"))
    hub.report(OTHER, other.status(in_time, "01"))  # The day after: late.
    hub.report(RECIPIENT, recipient.status(in_time, "06"))
    moved(hub, at("2026-12-02T17:00:01"))
    hub.report(OTHER, other.status(in_time, "02"))
    assert rows(counted(hub)) == {
        ("2026-11-01", SENDER, "Công văn"): (1, 0, 0, 0),
        ("2026-11-01", RECIPIENT, "Công văn"): (0, 1, 1, 0),
        ("2026-11-01", OTHER, "Công văn"): (0, 1, 1, 1),
    }


def test_the_calendar_is_the_one_operators_corrected():
    hub = new_hub()
    moved(hub, at("2026-11-30T10:00"))
    hub.submit(SENDER, sender.envelope(RECIPIENT))
    moved(hub, at("2026-11-30T18:00"))
    assert rows(counted(hub))["2026-11-01", RECIPIENT, "Công văn"] == (0, 1, 0, 1)
    hub.done(CorrectCalendar(OPERATOR, new_request_id(), date(2026, 11, 30), False, "QĐ 1/QĐ-TTg"))
    assert rows(counted(hub))["2026-11-01", RECIPIENT, "Công văn"] == (0, 1, 0, 0)


def test_more_rows_than_an_answer_holds_are_refused(monkeypatch):
    monkeypatch.setattr(statistics, "ROWS_MAX", 3)
    hub = new_hub()
    for number in range(2):
        kind = {"type": {"name": f"Loại {number}"}}
        hub.submit(SENDER, sender.envelope(RECIPIENT, document=kind))
    with pytest.raises(TooLarge):
        counted(hub)
    assert len(counted(hub, agency=SENDER).rows) == 2


# --- Late -------------------------------------------------------------------------------

MONDAY, CLOSE = at("2026-11-30T10:00"), at("2026-11-30T17:00")
TICK = timedelta(microseconds=1)
LONG_AFTER = at("2027-06-01T00:00")


def late(now: datetime = LONG_AFTER, **facts: object) -> bool:
    nothing = dict.fromkeys(("due_on", "taken_over_at", "answered_at", "released_at"))
    return was_late(**nothing | facts, accepted_at=MONDAY, calendar=CALENDAR, at=now)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, True),
        ({"now": CLOSE - TICK}, False),
        ({"now": CLOSE}, True),
        ({"taken_over_at": CLOSE}, False),
        ({"taken_over_at": CLOSE + TICK}, True),
        ({"released_at": CLOSE}, False),
        ({"released_at": CLOSE + TICK}, True),
        ({"taken_over_at": CLOSE + TICK, "released_at": CLOSE}, False),
    ],
)
def test_a_document_is_taken_over_by_the_end_of_the_working_day(facts, expected):
    assert late(**facts) is expected


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, True),
        ({"now": CLOSE + timedelta(days=1) - TICK}, False),
        ({"answered_at": CLOSE + timedelta(days=1)}, False),
        ({"answered_at": CLOSE + timedelta(days=1) + TICK}, True),
        ({"released_at": CLOSE + timedelta(days=1)}, False),
    ],
)
def test_a_document_is_answered_by_its_due_date(facts, expected):
    assert late(taken_over_at=MONDAY, due_on=date(2026, 12, 1), **facts) is expected
