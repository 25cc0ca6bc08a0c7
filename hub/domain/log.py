"""The log itself: which log it is, and the calendar its deadlines are reckoned by."""

from __future__ import annotations

from datetime import date, datetime
from typing import Self
from uuid import UUID

from eventsourcing.domain import event

from hub.domain.aggregate import Aggregate


class Log(Aggregate):
    """The transparency log of one hub."""

    TOPIC = "hub.Log"

    class Created(Aggregate.Created):
        """The log was opened under an origin, the name every statement and checkpoint carries."""

        TOPIC = "hub.Log.LogOpened"
        origin: str

    class CalendarCorrected(Aggregate.Event):
        """An operator decided whether one day is a working day, over what the library says.

        `day` is an ISO date. `basis` names the public decision, e.g. `QĐ 123/QĐ-TTg`; `by`
        the operator. The last correction of a day counts, from its position on.
        """

        TOPIC = "hub.Log.CalendarCorrected"
        day: str
        working: bool
        basis: str
        by: str
        request_id: str

    @classmethod
    def open(cls, *, log_id: UUID, at: datetime, origin: str) -> Self:
        """Open the log; always the event at position 0."""
        return cls._create(cls.Created, id=log_id, timestamp=at, origin=origin)

    def __init__(self, origin: str) -> None:
        self.origin = origin

    def correct_calendar(
        self, *, at: datetime, day: date, working: bool, basis: str, by: str, request_id: str
    ) -> None:
        """Record whether a day is a working day."""
        self.trigger_event(
            self.CalendarCorrected,
            timestamp=at,
            day=day.isoformat(),
            working=working,
            basis=basis,
            by=by,
            request_id=request_id,
        )

    @event(CalendarCorrected)
    def _apply_calendar_corrected(self) -> None:
        pass  # The register keeps the calendar: deadlines are nothing the log decides by.
