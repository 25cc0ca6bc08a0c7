"""What the base calendar knows of Vietnamese holidays, and what it does not."""

from datetime import date

import pytest

from adapters.calendar import vietnamese_working_day

DAYS_OFF = {
    "New Year": [date(2026, 1, 1)],
    "Tết 2026": [date(2026, 2, day) for day in range(14, 23)],
    "Hùng Kings' day and the Monday for it": [date(2026, 4, 26), date(2026, 4, 27)],
    "30 April and 1 May": [date(2026, 4, 30), date(2026, 5, 1)],
    "National day": [date(2026, 9, 1), date(2026, 9, 2)],
    "A weekend": [date(2026, 11, 21), date(2026, 11, 22)],
}


@pytest.mark.parametrize("name", DAYS_OFF)
def test_offices_are_closed(name):
    assert not [day for day in DAYS_OFF[name] if vietnamese_working_day(day)]


@pytest.mark.parametrize(
    "day",
    [
        date(2026, 2, 13),
        date(2026, 2, 23),
        date(2026, 4, 24),
        date(2026, 4, 28),
        date(2026, 11, 20),
        date(2026, 11, 23),
        date(2026, 12, 25),
    ],
)
def test_offices_are_open(day):
    assert vietnamese_working_day(day)


def test_a_saturday_that_is_worked_for_a_swapped_day_is_known():
    assert vietnamese_working_day(date(2026, 8, 22))
    assert not vietnamese_working_day(date(2026, 8, 31))


def test_the_swap_of_2_january_2026_is_not_known():
    """If this fails, the package has learnt it: the operators' correction is then needless."""
    assert vietnamese_working_day(date(2026, 1, 2))
    assert not vietnamese_working_day(date(2026, 1, 10))
