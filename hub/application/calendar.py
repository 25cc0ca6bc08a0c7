"""Keep the calendar of working days: what an operator corrects, and what is corrected."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from hub.application.agencies import operator_request
from hub.application.lane import Lane, Recorded
from hub.application.ports import RequestKey
from hub.application.registry import CalendarEntry, Registry
from hub.application.session import Session
from hub.errors import RequestMalformed

_BASIS_CHARS_MAX = 200
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_FIRST, _LAST = date(2000, 1, 1), date(2099, 12, 31)


@dataclass(frozen=True, slots=True)
class CorrectCalendar:
    """Say whether one day is a working day."""

    operator: str
    request_id: str
    day: date
    working: bool
    basis: str

    @property
    def request(self) -> RequestKey:
        """Bound to the operator and to what is said of the day."""
        words = (self.day.isoformat(), "working" if self.working else "off", self.basis)
        return operator_request(self.operator, self.request_id, "calendar", *words)

    def decide(self, session: Session) -> None:
        """Record `CalendarCorrected`, also where it says what was known: it has a new basis."""
        log = session.history.log()
        log.correct_calendar(
            at=session.at,
            day=self.day,
            working=self.working,
            basis=self.basis,
            by=self.operator,
            request_id=self.request_id,
        )
        session.record(log, self.request)


class Calendar:
    """What an operator may ask about working days."""

    def __init__(self, *, lane: Lane, registry: Callable[[], Registry]) -> None:
        self._lane = lane
        self._registry = registry

    async def correct(
        self, operator: str, request_id: str, *, day: date, working: bool, basis: str
    ) -> Recorded:
        """Correct one day; the receipt of `CalendarCorrected`. Raises RequestMalformed."""
        if not _FIRST <= day <= _LAST:
            raise RequestMalformed("day must lie from 2000 to 2099", field="day")
        if not 1 <= len(basis) <= _BASIS_CHARS_MAX or _CONTROL.search(basis):
            raise RequestMalformed(
                f"basis must have 1 to {_BASIS_CHARS_MAX} characters and no control characters",
                field="basis",
            )
        return await self._lane.do(CorrectCalendar(operator, request_id, day, working, basis))

    def corrections(self, after: date, limit: int) -> Sequence[CalendarEntry]:
        """Corrected days by rising day, those after a day, each as it counts now."""
        calendar = self._registry().calendar
        days = sorted(day for day in calendar if day > after)
        return [calendar[day] for day in days[:limit]]
