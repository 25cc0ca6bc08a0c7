"""When a delivery is late: two rules, reckoned when somebody asks, enforced never.

The same-day rule (QĐ 28/2018/QĐ-TTg Art. 6, NĐ 30/2020/NĐ-CP Art. 21): a recipient takes a
document over by the end of the working day it arrived in. The due date: a recipient finishes
or refuses it by the end of the day its sender named. Decision 0014 says why these two, and
what ends them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import IntEnum

from hub.domain.delivery import DeliveryState, RecallState
from hub.domain.working_days import WorkingDays

ANSWERED = frozenset({DeliveryState.REFUSED, DeliveryState.FINISHED})
"""States in which a recipient owes no answer any more."""

STANDING = frozenset({RecallState.NONE, RecallState.REFUSED})
"""Recalls that leave a document to be dealt with: none, or one the recipient refused."""


class LateRule(IntEnum):
    """Which rule a delivery is late by."""

    NOT_COLLECTED = 1
    NOT_ANSWERED = 2


@dataclass(frozen=True, slots=True)
class Late:
    """By which rule, and since when: the end of the day that was missed."""

    rule: LateRule
    since: datetime


@dataclass(frozen=True, slots=True)
class Passed:
    """Every deadline that has passed, as two limits.

    Late is what was accepted before `accepted_before` and is not collected, and what was due
    on `due_until` or earlier and is not answered.
    """

    accepted_before: datetime
    due_until: date

    @classmethod
    def at(cls, calendar: WorkingDays, at: datetime) -> Passed:
        """The deadlines that have passed at an instant.

        Whatever arrived before the last close had that close, or an earlier one, as its
        limit; whatever arrived later has a later one. The same holds for due dates.
        """
        close = calendar.last_close(at)
        return cls(close, close.date())


def lateness(
    *,
    accepted_at: datetime,
    due_on: date | None,
    state: DeliveryState,
    recall: RecallState,
    expired: bool,
    replaced: bool,
    calendar: WorkingDays,
    passed: Passed,
) -> tuple[Late, ...]:
    """The rules a delivery is late by, none, one or both.

    A document that was replaced, has expired or is asked back is not waited for any more; one
    that was erased counts as replaced, by nothing.
    """
    if replaced or expired or recall not in STANDING:
        return ()
    late = []
    if state is DeliveryState.CONSIGNED and accepted_at < passed.accepted_before:
        late.append(Late(LateRule.NOT_COLLECTED, calendar.end_of_working_day(accepted_at)))
    if due_on is not None and state not in ANSWERED and due_on <= passed.due_until:
        late.append(Late(LateRule.NOT_ANSWERED, due_since(accepted_at, due_on, calendar)))
    return tuple(late)


def was_late(
    *,
    accepted_at: datetime,
    due_on: date | None,
    taken_over_at: datetime | None,
    answered_at: datetime | None,
    released_at: datetime | None,
    calendar: WorkingDays,
    at: datetime,
) -> bool:
    """Whether a delivery was ever late by either rule, as known at an instant.

    None is what has not happened by then. `released_at` is when it was no longer waited for:
    replaced, expired, or asked back.
    """

    def missed(limit: datetime, done_at: datetime | None) -> bool:
        ends = [end for end in (done_at, released_at) if end is not None]
        return min(ends) > limit if ends else at >= limit

    if missed(calendar.end_of_working_day(accepted_at), taken_over_at):
        return True
    return due_on is not None and missed(due_since(accepted_at, due_on, calendar), answered_at)


def due_since(accepted_at: datetime, due_on: date, calendar: WorkingDays) -> datetime:
    """The end of a due date: who has not answered by then is late from then on."""
    # A due date may lie before the document came, or before any calendar; nobody is late
    # with what has not arrived.
    if due_on < accepted_at.astimezone(calendar.zone).date():
        return accepted_at
    return max(accepted_at, calendar.end_of_due_day(due_on))
