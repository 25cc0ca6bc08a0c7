"""Whose day it is: working hours, weekends, Tết, public holidays, swaps announced by decree."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from adapters.calendar import vietnamese_working_day
from hub.domain.working_days import WorkingDays

VIETNAM = ZoneInfo("Asia/Ho_Chi_Minh")
CALENDAR = WorkingDays(vietnamese_working_day, VIETNAM)
# 2 January 2026 was given for 10 January, a Saturday.
SWAPPED = CALENDAR.corrected(date(2026, 1, 2), working=False).corrected(
    date(2026, 1, 10), working=True
)


def local(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=VIETNAM)


@pytest.mark.parametrize(
    ("arrives", "ends"),
    [
        # A Monday: before the doors open, at work, at noon, in the last minute.
        ("2026-11-16T00:00", "2026-11-16"),
        ("2026-11-16T07:29", "2026-11-16"),
        ("2026-11-16T12:15", "2026-11-16"),
        ("2026-11-16T16:59:59.999999", "2026-11-16"),
        # After hours: the next day's.
        ("2026-11-16T17:00", "2026-11-17"),
        ("2026-11-16T23:59", "2026-11-17"),
        # A Friday evening and a weekend: Monday's.
        ("2026-11-27T16:59", "2026-11-27"),
        ("2026-11-27T17:00", "2026-11-30"),
        ("2026-11-28T09:00", "2026-11-30"),
        ("2026-11-29T23:59", "2026-11-30"),
        # Tết Bính Ngọ: the last working day is Friday the 13th, the next Monday the 23rd.
        ("2026-02-13T16:59", "2026-02-13"),
        ("2026-02-13T17:00", "2026-02-23"),
        ("2026-02-17T00:00", "2026-02-23"),
        ("2026-02-22T23:59", "2026-02-23"),
        # Hùng Kings' day is a Sunday, Monday is given for it.
        ("2026-04-24T17:00", "2026-04-28"),
        ("2026-04-26T10:00", "2026-04-28"),
        ("2026-04-27T10:00", "2026-04-28"),
        # Vietnamese Culture Day, 24 November, is a day off from 2026 on.
        ("2026-11-23T17:00", "2026-11-25"),
        ("2026-11-24T09:00", "2026-11-25"),
        # 30 April and 1 May, and the weekend after them.
        ("2026-04-29T17:01", "2026-05-04"),
    ],
)
def test_what_arrives_belongs_to_a_working_day(arrives, ends):
    end = CALENDAR.end_of_working_day(local(arrives))

    assert end == local(f"{ends}T17:00")


def test_the_day_is_that_of_viet_nam_whatever_zone_the_instant_is_written_in():
    # 16:59 and 17:00 on a Monday in Hà Nội.
    before = datetime(2026, 11, 16, 9, 59, tzinfo=UTC)
    after = datetime(2026, 11, 16, 10, 0, tzinfo=UTC)
    # 06:00 on a Tuesday in Hà Nội, still Monday in Greenwich.
    early = datetime(2026, 11, 16, 23, 0, tzinfo=UTC)

    ends = [CALENDAR.end_of_working_day(at).date() for at in (before, after, early)]

    assert ends == [date(2026, 11, 16), date(2026, 11, 17), date(2026, 11, 17)]


@pytest.mark.parametrize(
    ("due_on", "ends"),
    [
        (date(2026, 11, 16), "2026-11-16"),
        (date(2026, 11, 28), "2026-11-30"),
        (date(2026, 2, 14), "2026-02-23"),
        (date(2026, 4, 27), "2026-04-28"),
        (date(2026, 9, 1), "2026-09-03"),
    ],
)
def test_a_due_date_on_a_day_off_moves_to_the_next_working_day(due_on, ends):
    assert CALENDAR.end_of_due_day(due_on) == local(f"{ends}T17:00")


def test_the_swap_of_2_january_2026_is_known_only_by_correction():
    new_years_eve, arrives = local("2026-01-01T09:00"), local("2026-01-09T18:00")

    assert CALENDAR.end_of_working_day(new_years_eve) == local("2026-01-02T17:00")
    assert CALENDAR.end_of_working_day(arrives) == local("2026-01-12T17:00")
    assert SWAPPED.end_of_working_day(new_years_eve) == local("2026-01-05T17:00")
    assert SWAPPED.end_of_working_day(arrives) == local("2026-01-10T17:00")
    assert SWAPPED.end_of_due_day(date(2026, 1, 2)) == local("2026-01-05T17:00")


def test_the_last_correction_of_a_day_counts_and_earlier_calendars_stay_as_they_were():
    day = date(2026, 11, 16)
    closed = CALENDAR.corrected(day, working=False)
    opened = closed.corrected(day, working=True)

    assert [each.is_working_day(day) for each in (CALENDAR, closed, opened)] == [True, False, True]


def test_other_hours_move_the_end_of_the_day():
    short = WorkingDays(vietnamese_working_day, VIETNAM, end=local("2026-11-16T11:30").time())

    assert short.end_of_working_day(local("2026-11-16T11:29")) == local("2026-11-16T11:30")
    assert short.end_of_working_day(local("2026-11-16T11:30")) == local("2026-11-17T11:30")


def test_a_calendar_without_a_working_day_is_a_defect():
    with pytest.raises(ValueError, match="no working day"):
        WorkingDays(lambda day: False, VIETNAM).end_of_due_day(date(2026, 1, 1))


def test_the_end_of_a_day_is_never_before_the_arrival_and_always_on_a_working_day():
    at = local("2026-01-01T00:00")
    for _ in range(2 * 365):
        end = SWAPPED.end_of_working_day(at)
        assert at < end
        assert SWAPPED.is_working_day(end.date())
        assert SWAPPED.end_of_working_day(end - timedelta(microseconds=1)) == end
        at += timedelta(hours=12, minutes=7)


@pytest.mark.parametrize(
    ("day", "working"),
    [
        ("2026-01-01", False),  # New Year
        ("2026-01-03", False),  # a Saturday
        ("2026-01-05", True),
        ("2026-02-16", False),  # the eve of Tết
        ("2026-02-17", False),  # the first day of the year of the Horse
        ("2026-02-20", False),
        ("2026-02-23", True),  # the Monday after
        ("2026-04-26", False),  # Hùng Kings' day, a Sunday
        ("2026-04-27", False),  # made up for
        ("2026-04-30", False),
        ("2026-05-01", False),
        ("2026-09-02", False),
        ("2026-11-20", True),
        ("2026-11-24", False),  # Vietnamese Culture Day, from 2026 on
    ],
)
def test_the_library_knows_the_holidays(day: str, working: bool):
    assert CALENDAR.is_working_day(date.fromisoformat(day)) is working


@pytest.mark.parametrize(
    ("now", "close"),
    [
        ("2026-11-20 16:59", "2026-11-19 17:00"),
        ("2026-11-20 17:00", "2026-11-20 17:00"),
        ("2026-11-22 12:00", "2026-11-20 17:00"),
        ("2026-02-20 12:00", "2026-02-13 17:00"),
        ("2026-01-04 12:00", "2025-12-31 17:00"),
        ("2026-01-11 12:00", "2026-01-10 17:00"),
    ],
)
def test_the_last_close_is_that_of_a_working_day(now: str, close: str):
    assert SWAPPED.last_close(local(now)) == local(close)


def test_other_hours_are_respected():
    short = WorkingDays(vietnamese_working_day, VIETNAM, begin=time(8), end=time(16, 30))
    assert short.end_of_working_day(local("2026-11-20 16:30")) == local("2026-11-23 16:30")
