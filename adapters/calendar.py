"""Vietnam's public holidays, as the `holidays` package knows them."""

from __future__ import annotations

from datetime import date
from functools import lru_cache

import holidays


@lru_cache(maxsize=64)
def _of_year(year: int) -> holidays.HolidayBase:
    return holidays.country_holidays("VN", years=year)


def vietnamese_working_day(day: date) -> bool:
    """Whether offices work on a day: Monday to Friday, but not on public holidays.

    The package knows Tết, Hùng Kings' day and most swaps of working days, but not all of them
    (it takes 2 January 2026 for a working day): operators' corrections lie over it.
    """
    return bool(_of_year(day.year).is_working_day(day))
