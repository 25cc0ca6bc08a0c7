"""Whoever follows the plan, in time or late, always has a key that signs and that all have seen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.rotation import (
    Action,
    KeyLife,
    KeyState,
    Reminder,
    RotationPolicy,
    Step,
    due,
    plan,
    reminders,
)

BEGIN = datetime(2026, 11, 22, tzinfo=UTC)
DAY = timedelta(days=1)
POLICY = RotationPolicy()

days = st.integers(1, 400).map(lambda count: count * DAY)


@st.composite
def policies(draw: st.DrawFn) -> RotationPolicy:
    announce, overlap, alone = draw(days), draw(days), draw(days)
    return RotationPolicy(
        lifetime=announce + 2 * overlap + alone,
        announce_before=announce,
        overlap=overlap,
        remind_before=tuple(draw(st.lists(days, min_size=1, max_size=4))),
    )


class Followed:
    """Keys whose operators do each step when it is due, or `late` days after."""

    def __init__(self, policy: RotationPolicy) -> None:
        self.policy = policy
        self.keys = {"k0": KeyLife("k0", KeyState.ACTIVE, BEGIN)}
        self.announced_at: dict[str, datetime] = {}
        self.activated_at = {"k0": BEGIN}
        self.retired_at: dict[str, datetime] = {}
        self.now = BEGIN

    def step(self, late: timedelta) -> Step:
        step = plan(self.policy, list(self.keys.values()))[0]
        self.now = max(self.now, step.due) + late
        name = step.key_id or f"k{len(self.keys)}"
        state, when = {
            Action.ANNOUNCE: (KeyState.ANNOUNCED, self.announced_at),
            Action.ACTIVATE: (KeyState.ACTIVE, self.activated_at),
            Action.RETIRE: (KeyState.RETIRED, self.retired_at),
        }[step.action]
        self.keys[name] = KeyLife(name, state, self.now)
        when[name] = self.now
        return step

    @property
    def active(self) -> list[str]:
        return [name for name, key in self.keys.items() if key.state is KeyState.ACTIVE]


@given(policies(), st.lists(st.integers(0, 50).map(lambda count: count * DAY), max_size=30))
def test_there_is_never_a_moment_without_a_key_and_never_a_third(
    policy: RotationPolicy, delays: list[timedelta]
):
    hub = Followed(policy)
    for late in delays:
        hub.step(late)
        assert len(hub.active) in (1, 2)
        assert sum(key.state is KeyState.ANNOUNCED for key in hub.keys.values()) <= 1


@given(policies(), st.lists(st.integers(0, 50).map(lambda count: count * DAY), max_size=30))
def test_every_key_was_announced_long_enough_and_overlaps_long_enough(
    policy: RotationPolicy, delays: list[timedelta]
):
    hub = Followed(policy)
    for late in delays:
        hub.step(late)
    for name, activated in hub.activated_at.items():
        if name != "k0":
            assert activated - hub.announced_at[name] >= policy.announce_before
    names = list(hub.activated_at)
    for old, new in pairwise(names):
        if old in hub.retired_at:
            assert hub.retired_at[old] - hub.activated_at[new] >= policy.overlap


@given(policies(), st.integers(3, 30))
def test_done_in_time_every_key_signs_for_exactly_its_lifetime(policy: RotationPolicy, count: int):
    hub = Followed(policy)
    for _ in range(count):
        hub.step(timedelta(0))
    for name, retired in hub.retired_at.items():
        assert retired - hub.activated_at[name] == policy.lifetime


@given(policies(), st.integers(0, 2000))
def test_a_reminder_comes_before_each_step_and_stays_until_it_is_done(
    policy: RotationPolicy, passed: int
):
    keys, now = [KeyLife("k0", KeyState.ACTIVE, BEGIN)], BEGIN + passed * DAY
    (step,) = plan(policy, keys)
    reminded = reminders(policy, keys, now)

    if step.due <= now:
        assert reminded == [Reminder(step, timedelta(0))]
        assert due(policy, keys, now) == [step]
    else:
        assert bool(reminded) == (step.due - now <= max(policy.remind_before))
        assert all(each.ahead >= step.due - now for each in reminded)
        assert due(policy, keys, now) == []


def test_the_plan_of_two_years():
    keys = [KeyLife("k0", KeyState.ACTIVE, BEGIN)]
    assert plan(POLICY, keys) == [Step(Action.ANNOUNCE, "", BEGIN + 640 * DAY)]

    keys.append(KeyLife("k1", KeyState.ANNOUNCED, BEGIN + 640 * DAY))
    assert plan(POLICY, keys) == [
        Step(Action.ACTIVATE, "k1", BEGIN + 700 * DAY),
        Step(Action.RETIRE, "k0", BEGIN + 730 * DAY),
    ]

    keys[1] = KeyLife("k1", KeyState.ACTIVE, BEGIN + 700 * DAY)
    assert plan(POLICY, keys)[0] == Step(Action.RETIRE, "k0", BEGIN + 730 * DAY)


@pytest.mark.parametrize("state", [KeyState.COMPROMISED, KeyState.RETIRED])
def test_without_a_key_that_signs_the_next_waits_for_no_window(state: KeyState):
    gone = KeyLife("k0", state, BEGIN)
    assert plan(POLICY, [gone]) == [Step(Action.ANNOUNCE, "", BEGIN, urgent=True)]

    waiting = KeyLife("k1", KeyState.ANNOUNCED, BEGIN - DAY)
    assert plan(POLICY, [gone, waiting]) == [Step(Action.ACTIVATE, "k1", BEGIN - DAY, urgent=True)]


def test_keys_that_no_life_leads_to_are_refused():
    def keys(state: KeyState, count: int) -> list[KeyLife]:
        return [KeyLife(f"k{number}", state, BEGIN) for number in range(count)]

    with pytest.raises(ValueError, match="at most one key is announced"):
        plan(POLICY, keys(KeyState.ANNOUNCED, 2))
    with pytest.raises(ValueError, match="at most two sign"):
        plan(POLICY, keys(KeyState.ACTIVE, 3))
    with pytest.raises(ValueError, match="begins with a key"):
        plan(POLICY, [])


def test_a_policy_that_cannot_be_kept_is_refused():
    with pytest.raises(ValueError, match="shorter than"):
        RotationPolicy(lifetime=10 * DAY, announce_before=5 * DAY, overlap=3 * DAY)
    with pytest.raises(ValueError, match="longer than nothing"):
        RotationPolicy(overlap=timedelta(0))
