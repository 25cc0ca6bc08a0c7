"""The log itself: which log it is, its calendar, and who watches it."""

from __future__ import annotations

from collections.abc import Sequence
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

    class WitnessSetChanged(Aggregate.Event):
        """From here on these witnesses are asked to cosign, all of them, by verifier key."""

        TOPIC = "hub.Log.WitnessSetChanged"
        witnesses: list[str]

    class LogReopened(Aggregate.Event):
        """The log goes on under another origin and key; always the first event after `kept_size`.

        Events below `kept_size` are those of the old log, at their old positions. Those from
        `kept_size` up to `last_size` are lost; none are where it is not larger. `last_size` and
        `last_root` (hexadecimal) are those of the newest tree that the old key is known to have
        signed, `checkpoint` its signed note, or empty. `reason` is a code word, `basis` names
        the decision, `order` and `approval` are the digests of what two operators signed.
        """

        TOPIC = "hub.Log.LogReopened"
        old_origin: str
        origin: str
        kept_size: int
        kept_root: str
        last_size: int
        last_root: str
        checkpoint: str
        reason: str
        basis: str
        order: str
        ordered_by: str
        approval: str
        approved_by: str

    @classmethod
    def open(cls, *, log_id: UUID, at: datetime, origin: str) -> Self:
        """Open the log; always the event at position 0."""
        return cls._create(cls.Created, id=log_id, timestamp=at, origin=origin)

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.witnesses: list[str] = []

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

    def reopen(self, *, at: datetime, **facts: object) -> None:
        """Record that the log goes on under another origin and key."""
        self.trigger_event(self.LogReopened, timestamp=at, **facts)

    @event(LogReopened)
    def _apply_reopened(self, origin: str) -> None:
        self.origin = origin

    @event(CalendarCorrected)
    def _apply_calendar_corrected(self) -> None:
        pass  # The register keeps the calendar: deadlines are nothing the log decides by.

    def change_witnesses(self, *, at: datetime, witnesses: Sequence[str]) -> None:
        """Have another set of witnesses, sorted, C2SP verifier keys each."""
        self.trigger_event(self.WitnessSetChanged, timestamp=at, witnesses=sorted(witnesses))

    @event(WitnessSetChanged)
    def _apply_witnesses(self, witnesses: list[str]) -> None:
        self.witnesses = witnesses
