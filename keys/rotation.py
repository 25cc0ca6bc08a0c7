"""When a hub key must be announced, activated and retired: a policy and the keys make a plan.

Pure: no clock, no file, no event. Whoever calls says what time it is and what has happened, and
carries the plan out, or shows it.

    announced ──── announce_before ────▶ active ──── overlap, both sign ────▶ alone ──▶ …
                                          └──────────────── lifetime ──────────────────┘
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class KeyState(StrEnum):
    """Where a key is in its life; the last two are ends."""

    ANNOUNCED = "announced"
    ACTIVE = "active"
    RETIRED = "retired"
    COMPROMISED = "compromised"


class Action(StrEnum):
    """What is done to a key. ANNOUNCE makes a new one."""

    ANNOUNCE = "announce"
    ACTIVATE = "activate"
    RETIRE = "retire"


@dataclass(frozen=True, slots=True)
class RotationPolicy:
    """How long a key signs, and how early everybody is told.

    A new key is announced `announce_before` it signs, so that all have fetched the trusted root
    that lists it. Then it and its predecessor both sign for `overlap`. `remind_before` says how
    long before each step somebody is reminded of it. Raises ValueError where more than two keys
    would sign at once, or one be announced while another still waits.
    """

    lifetime: timedelta = timedelta(days=730)
    announce_before: timedelta = timedelta(days=60)
    overlap: timedelta = timedelta(days=30)
    remind_before: tuple[timedelta, ...] = (
        timedelta(days=90),
        timedelta(days=30),
        timedelta(days=7),
        timedelta(days=1),
    )

    def __post_init__(self) -> None:
        lengths = (self.lifetime, self.announce_before, self.overlap, *self.remind_before)
        if min(lengths) <= timedelta(0):
            raise ValueError("every length of a rotation policy is longer than nothing")
        if self.lifetime < self.announce_before + 2 * self.overlap:
            raise ValueError(
                "a key's lifetime is shorter than its two overlaps and its successor's announcement"
            )


@dataclass(frozen=True, slots=True)
class KeyLife:
    """What has happened to one key. `since` is when it came into this state."""

    key_id: str
    state: KeyState
    since: datetime


@dataclass(frozen=True, slots=True)
class Step:
    """What must be done, to which key, and when. An ANNOUNCE has no key yet: `key_id` is empty.

    `urgent`: nothing signs until this is done, so it does not wait for any window.
    """

    action: Action
    key_id: str
    due: datetime
    urgent: bool = False


@dataclass(frozen=True, slots=True)
class Reminder:
    """A step that comes near, or is overdue; `ahead` is the reminder's length, zero if overdue."""

    step: Step
    ahead: timedelta


def plan(policy: RotationPolicy, keys: Sequence[KeyLife]) -> list[Step]:
    """Every step that can be foreseen from the keys there are, earliest first.

    A step whose time has passed keeps it: how late it is can be told. Steps that depend on a key
    that is not announced yet are foreseen as if each step before them were done in time.
    Raises ValueError for keys that no such life leads to: two announced, or three active.
    """
    announced = [key for key in keys if key.state is KeyState.ANNOUNCED]
    active = sorted((key for key in keys if key.state is KeyState.ACTIVE), key=_since)
    if len(announced) > 1 or len(active) > 2:
        raise ValueError("at most one key is announced, and at most two sign")
    if not active:
        return _from_nothing(keys, announced)
    steps = []
    newest = active[-1]
    if len(active) == 2:
        steps.append(Step(Action.RETIRE, active[0].key_id, newest.since + policy.overlap))
    steps += _succession(policy, newest, announced)
    return sorted(steps, key=lambda step: step.due)


def due(policy: RotationPolicy, keys: Sequence[KeyLife], now: datetime) -> list[Step]:
    """The steps whose time has come, earliest first; the first is the next to be done."""
    return [step for step in plan(policy, keys) if step.due <= now]


def reminders(policy: RotationPolicy, keys: Sequence[KeyLife], now: datetime) -> list[Reminder]:
    """Of each step that comes near, the shortest reminder whose time has come; overdue ones too."""
    found = []
    for step in plan(policy, keys):
        if step.due <= now:
            found.append(Reminder(step, timedelta(0)))
        elif passed := [ahead for ahead in policy.remind_before if step.due - ahead <= now]:
            found.append(Reminder(step, min(passed)))
    return found


def _succession(
    policy: RotationPolicy, newest: KeyLife, announced: Sequence[KeyLife]
) -> list[Step]:
    wanted = newest.since + policy.lifetime - policy.overlap
    if not announced:
        return [Step(Action.ANNOUNCE, "", wanted - policy.announce_before)]
    (successor,) = announced
    # Announced late, it is activated late: nobody may meet a signature by a key they never saw.
    activation = max(wanted, successor.since + policy.announce_before)
    return [
        Step(Action.ACTIVATE, successor.key_id, activation),
        Step(Action.RETIRE, newest.key_id, activation + policy.overlap),
    ]


def _from_nothing(keys: Sequence[KeyLife], announced: Sequence[KeyLife]) -> list[Step]:
    """Before the first key, or after the only one was compromised: now, whatever the windows."""
    if announced:
        (successor,) = announced
        return [Step(Action.ACTIVATE, successor.key_id, successor.since, urgent=True)]
    if not keys:
        raise ValueError("a plan begins with a key")
    since = max(key.since for key in keys)
    return [Step(Action.ANNOUNCE, "", since, urgent=True)]


def _since(key: KeyLife) -> datetime:
    return key.since
