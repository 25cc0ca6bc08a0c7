"""Count what was sent, received, answered and late (QĐ 28/2018/QĐ-TTg Art. 11)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import Enum
from functools import cache

from hub.application.lane import Receipts
from hub.application.listing import calendar_of
from hub.application.offload import Offloader
from hub.application.ports import Clock, DeliveryFigures, Figures, FiguresWanted
from hub.application.registry import Registry
from hub.domain.deadlines import was_late
from hub.domain.working_days import WorkingDays
from hub.errors import TooLarge

# Kinds are words that senders choose: their number must not fill the hub's memory.
ROWS_MAX = 100_000


class Period(Enum):
    """How long a period is."""

    DAY = "day"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"

    def first_day(self, day: date) -> date:
        """The first day of the period that a day falls into."""
        match self:
            case Period.DAY:
                return day
            case Period.MONTH:
                return day.replace(day=1)
            case Period.QUARTER:
                return day.replace(month=day.month - (day.month - 1) % 3, day=1)
            case Period.YEAR:
                return day.replace(month=1, day=1)


@dataclass(slots=True)
class Counts:
    """What was counted; all of it of documents accepted within one period."""

    sent: int = 0
    received: int = 0
    answered: int = 0
    late: int = 0


@dataclass(frozen=True, slots=True)
class StatisticsRow:
    """The counts of one agency and kind of document in one period."""

    period_start: date
    agency: str
    kind: str
    counts: Counts


@dataclass(frozen=True, slots=True)
class Statistics:
    """Counts as of a position: of every event before it, lateness judged at `at`."""

    position: int
    checkpoint: bytes
    at: datetime
    time_zone: str
    rows: Sequence[StatisticsRow]


class Counting:
    """What an auditor may have counted. Reads only; memory grows with the rows of the answer."""

    def __init__(
        self,
        *,
        figures: Figures,
        receipts: Receipts,
        registry: Callable[[], Registry],
        calendar: WorkingDays,
        offload: Offloader,
        clock: Clock,
    ) -> None:
        self._figures = figures
        self._receipts = receipts
        self._registry = registry
        self._calendar = calendar
        self._offload = offload
        self._clock = clock

    async def count(self, period: Period, wanted: FiguresWanted) -> Statistics:
        """Count. Raises TooLarge for more rows than one answer holds."""
        return await self._offload(lambda: self._count(period, wanted))

    def _count(self, period: Period, wanted: FiguresWanted) -> Statistics:
        # A library takes its time over each day, and the same few days are asked for again.
        known = replace(self._calendar, base=cache(self._calendar.base))
        calendar, at = calendar_of(self._registry(), known), self._clock()
        table = _Table(period, calendar)
        with self._figures.snapshot() as snapshot:
            for document in snapshot.sent(wanted):
                table.counts(document.accepted_at, document.sender, document.kind).sent += 1
            for delivery in snapshot.received(wanted):
                counts = table.counts(delivery.accepted_at, delivery.recipient, delivery.kind)
                counts.received += 1
                counts.answered += delivery.answered_at is not None
                counts.late += _was_late(delivery, calendar, at)
            position = snapshot.position
        # Views follow the checkpoint: the newest one covers what was counted.
        _size, checkpoint = self._receipts.published()
        return Statistics(position, checkpoint, at, calendar.zone.key, table.rows())


class _Table:
    def __init__(self, period: Period, calendar: WorkingDays) -> None:
        self._period = period
        self._zone = calendar.zone
        self._counts: dict[tuple[date, str, str], Counts] = {}

    def counts(self, at: datetime, agency: str, kind: str) -> Counts:
        first_day = self._period.first_day(at.astimezone(self._zone).date())
        known = self._counts.get((first_day, agency, kind))
        if known is not None:
            return known
        if len(self._counts) == ROWS_MAX:
            raise TooLarge(
                f"more than {ROWS_MAX} rows: choose longer periods, fewer days or one agency",
                limit=str(ROWS_MAX),
            )
        return self._counts.setdefault((first_day, agency, kind), Counts())

    def rows(self) -> list[StatisticsRow]:
        return [StatisticsRow(*key, self._counts[key]) for key in sorted(self._counts)]


def _was_late(delivery: DeliveryFigures, calendar: WorkingDays, at: datetime) -> bool:
    return was_late(
        accepted_at=delivery.accepted_at,
        due_on=delivery.due_on,
        taken_over_at=delivery.taken_over_at,
        answered_at=delivery.answered_at,
        released_at=delivery.released_at,
        calendar=calendar,
        at=at,
    )
