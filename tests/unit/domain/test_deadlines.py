"""Who is late, by which rule, and since when."""

import random
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from adapters.calendar import vietnamese_working_day
from hub.domain.deadlines import Late, LateRule, Passed, lateness
from hub.domain.delivery import DeliveryState, RecallState
from hub.domain.working_days import WorkingDays

ZONE = ZoneInfo("Asia/Ho_Chi_Minh")
CALENDAR = WorkingDays(vietnamese_working_day, ZONE)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZONE)


@dataclass(frozen=True)
class Case:
    """A delivery that arrived on Friday morning, seen on Monday morning."""

    accepted: str = "2026-11-20 09:00"
    now: str = "2026-11-23 09:00"
    due_on: date | None = None

    def late(self, **changes: Any) -> tuple[Late, ...]:
        facts: dict[str, Any] = {
            "state": DeliveryState.CONSIGNED,
            "recall": RecallState.NONE,
            "expired": False,
            "replaced": False,
        }
        return lateness(
            accepted_at=at(self.accepted),
            due_on=self.due_on,
            calendar=CALENDAR,
            passed=Passed.at(CALENDAR, at(self.now)),
            **facts | changes,
        )


NOT_COLLECTED = Late(LateRule.NOT_COLLECTED, at("2026-11-20 17:00"))
NOT_ANSWERED = Late(LateRule.NOT_ANSWERED, at("2026-11-20 17:00"))
FRIDAY = date(2026, 11, 20)


@pytest.mark.parametrize(
    ("accepted", "now", "since"),
    [
        ("2026-11-20 09:00", "2026-11-20 16:59", None),
        ("2026-11-20 09:00", "2026-11-20 17:00", "2026-11-20 17:00"),
        ("2026-11-20 17:00", "2026-11-22 23:59", None),
        ("2026-11-20 17:00", "2026-11-23 16:59", None),
        ("2026-11-20 17:00", "2026-11-23 17:00", "2026-11-23 17:00"),
        ("2026-02-14 08:00", "2026-02-22 12:00", None),
        ("2026-02-14 08:00", "2026-02-23 17:00", "2026-02-23 17:00"),
    ],
)
def test_a_document_is_collected_by_the_end_of_the_working_day(
    accepted: str, now: str, since: str | None
):
    expected = () if since is None else (Late(LateRule.NOT_COLLECTED, at(since)),)
    assert Case(accepted, now).late() == expected


@pytest.mark.parametrize("state", set(DeliveryState) - {DeliveryState.CONSIGNED})
def test_whoever_has_signed_anything_has_taken_it_over(state: DeliveryState):
    assert Case().late(state=state) == ()


@pytest.mark.parametrize(
    ("due_on", "now", "since"),
    [
        ("2026-11-25", "2026-11-25 16:59", None),
        ("2026-11-25", "2026-11-25 17:00", "2026-11-25 17:00"),
        ("2026-11-21", "2026-11-23 16:59", None),
        ("2026-11-21", "2026-11-23 17:00", "2026-11-23 17:00"),
        ("9999-12-31", "2026-11-23 17:00", None),
        ("2026-11-19", "2026-11-20 10:00", "2026-11-20 09:00"),  # was past when it came
        ("0001-01-01", "2026-11-20 10:00", "2026-11-20 09:00"),
    ],
)
def test_a_document_is_answered_by_the_end_of_its_due_date(
    due_on: str, now: str, since: str | None
):
    expected = () if since is None else (Late(LateRule.NOT_ANSWERED, at(since)),)
    case = Case(now=now, due_on=date.fromisoformat(due_on))
    assert case.late(state=DeliveryState.PROCESSING) == expected


@pytest.mark.parametrize("state", [DeliveryState.REFUSED, DeliveryState.FINISHED])
def test_finished_and_refused_are_answers(state: DeliveryState):
    assert Case(due_on=FRIDAY).late(state=state) == ()


def test_both_rules_may_be_broken_at_once():
    assert Case(due_on=FRIDAY).late() == (NOT_COLLECTED, NOT_ANSWERED)


@pytest.mark.parametrize(
    "closed",
    [
        {"replaced": True},
        {"expired": True},
        {"recall": RecallState.ASKED},
        {"recall": RecallState.AGREED},
    ],
)
def test_nobody_waits_for_what_no_longer_counts(closed: dict[str, Any]):
    assert Case(due_on=FRIDAY).late(**closed) == ()


def test_whoever_refused_a_recall_still_has_to_deal_with_the_document():
    late = Case(due_on=FRIDAY).late(recall=RecallState.REFUSED)
    assert late == (NOT_COLLECTED, NOT_ANSWERED)


def test_two_limits_say_of_every_instant_and_date_whether_its_deadline_has_passed():
    drawn = random.Random(20261122)
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    for _ in range(3000):
        accepted = begin + timedelta(minutes=drawn.randrange(60 * 24 * 180))
        now = accepted + timedelta(minutes=drawn.randrange(60 * 24 * 20))
        due_on = accepted.date() + timedelta(days=drawn.randrange(20))
        passed = Passed.at(CALENDAR, now)
        assert (accepted < passed.accepted_before) == (
            CALENDAR.end_of_working_day(accepted) <= now
        ), (accepted, now)
        assert (due_on <= passed.due_until) == (CALENDAR.end_of_due_day(due_on) <= now), due_on
