"""When a document should have been dealt with: Vietnamese working days and hours.

Same-day rules are watched, not enforced (QĐ 28/2018/QĐ-TTg Art. 6): nothing is refused
because it is late, but it shows up as late, for the recipient and for the sender.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

# Tết closes offices for nine days at the most; a year without a working day is a defect.
_SEARCH_DAYS_MAX = 366

BaseCalendar = Callable[[date], bool]
"""Whether a date is a working day, as far as a library knows the public holidays."""


@dataclass(frozen=True, slots=True)
class WorkingDays:
    """The calendar as known at one position of the log.

    `corrections` are operators' decisions over the base: day swaps are announced by decree,
    sometimes a week before, and no library has them all. Hours are local time in `zone`.
    """

    base: BaseCalendar
    zone: ZoneInfo
    begin: time = time(7, 30)
    end: time = time(17, 0)
    corrections: Mapping[date, bool] = field(default_factory=dict)

    def corrected(self, day: date, *, working: bool) -> WorkingDays:
        """This calendar with one more decision; the last one about a day counts."""
        return WorkingDays(
            self.base, self.zone, self.begin, self.end, {**self.corrections, day: working}
        )

    def is_working_day(self, day: date) -> bool:
        """Whether offices work on that day."""
        return self.corrections.get(day, self.base(day))

    def end_of_working_day(self, at: datetime) -> datetime:
        """The end of the working day that an instant falls into, or of the next one.

        What arrives during working hours belongs to that day, what arrives after them or on
        a day off to the next working day.
        """
        local = at.astimezone(self.zone)
        day = local.date()
        if not (self.is_working_day(day) and local.time() < self.end):
            day = self._next_working_day(day)
        return self._close_of(day)

    def end_of_due_day(self, due_on: date) -> datetime:
        """The end of a due date; of the next working day when it falls on a day off."""
        day = due_on if self.is_working_day(due_on) else self._next_working_day(due_on)
        return self._close_of(day)

    def last_close(self, at: datetime) -> datetime:
        """The end of the last working day that has ended at an instant.

        What had to be done by the end of a working day is late when that end is not later
        than this one: so one instant, reckoned once, stands for every deadline that passed.
        """
        local = at.astimezone(self.zone)
        day = local.date()
        if not (self.is_working_day(day) and local.time() >= self.end):
            day = self._next_working_day(day, step=-1)
        return self._close_of(day)

    def _close_of(self, day: date) -> datetime:
        return datetime.combine(day, self.end, self.zone)

    def _next_working_day(self, day: date, *, step: int = 1) -> date:
        for offset in range(1, _SEARCH_DAYS_MAX):
            found = day + timedelta(days=offset * step)
            if self.is_working_day(found):
                return found
        raise ValueError(f"the calendar has no working day in the year around {day}")
