"""How things stand, read when somebody asks: each reading is kept for a while."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock

from hub.application import measuring
from hub.application.hub_keys import PlannedStep
from hub.application.measuring import Metric, Reading
from hub.application.ports import Backlog, RelayTally
from hub.application.registry import Registry
from hub.application.timestamp_book import Waiting
from hub.application.witnessing import WitnessStatus
from hub.domain.relay import Direction, RelayState

_DAY_S = 86_400.0
# What took so long to read is kept for so many times as long: reading never takes more than a
# twentieth of one thread, however often somebody asks and however large the hub has grown.
_KEPT_PER_SECOND_READ = 20.0

_UNSENT = (RelayState.WAITING, RelayState.QUEUED, RelayState.FAILED, RelayState.PARKED)


@dataclass(slots=True)
class Source:
    """Where some readings come from, how long they are good for, and the newest of them.

    `read` may block. What it raises leaves the readings of before, which then grow old.
    """

    name: str
    read: Callable[[], Iterable[Reading]]
    good_for_s: float = 0.0
    readings: Sequence[Reading] = ()
    read_at: float = field(default=float("-inf"))
    again_at: float = field(default=float("-inf"))


class Readings:
    """All readings. `all` is for one thread at a time; who comes meanwhile waits for it."""

    def __init__(
        self,
        sources: Sequence[Source],
        failed: Callable[[str, Exception], None],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`failed` hears of a source that could not be read."""
        self._sources = sources
        self._failed = failed
        self._monotonic = monotonic
        self._since = monotonic()
        self._lock = Lock()

    def renew(self) -> None:
        """Read whatever is no longer good. Blocks; raises nothing."""
        with self._lock:
            for source in self._sources:
                began = self._monotonic()
                if began < source.again_at:
                    continue
                try:
                    source.readings = list(source.read())
                    source.read_at = began
                except Exception as error:
                    self._failed(source.name, error)
                took = self._monotonic() - began
                kept = max(source.good_for_s, took * _KEPT_PER_SECOND_READ)
                source.again_at = began + kept

    def newest(self) -> list[Reading]:
        """What was read last, without waiting for anything."""
        now = self._monotonic()
        age = max(
            (now - max(each.read_at, self._since) - each.good_for_s for each in self._sources),
            default=0.0,
        )
        found = [reading for source in self._sources for reading in source.readings]
        return [*found, Reading(measuring.READINGS_AGE, max(0.0, age))]


def backlogs(found: Sequence[Backlog], at: datetime) -> Iterator[Reading]:
    """What waits for delivery to be taken of it."""
    for each in found:
        yield Reading(measuring.UNCOLLECTED, each.count, (each.agency,))
        yield Reading(measuring.UNCOLLECTED_AGE, _age(each.oldest, at), (each.agency,))


def queues(waiting: Mapping[str, int]) -> Iterator[Reading]:
    """What waits in the lane, by agency; `operator:…` and the like as they are called there."""
    for caller, count in waiting.items():
        yield Reading(measuring.QUEUE_COMMANDS, count, (caller or "hub",))


def untimestamped(waiting: Mapping[str, Waiting | None], at: datetime) -> Iterator[Reading]:
    """What each authority has not vouched for yet."""
    for authority, found in waiting.items():
        events, age = (0, 0.0) if found is None else (found.events, _age(found.since, at))
        yield Reading(measuring.UNTIMESTAMPED, events, (authority,))
        yield Reading(measuring.UNTIMESTAMPED_AGE, age, (authority,))


def witnesses(found: Iterable[WitnessStatus]) -> Iterator[Reading]:
    """How far each witness has come."""
    for each in found:
        yield Reading(measuring.WITNESS_BEHIND, each.behind, (each.name,))
        yield Reading(measuring.WITNESS_ALARM, each.is_alarming, (each.name,))


def axis_packages(tallies: Sequence[RelayTally], at: datetime) -> Iterator[Reading]:
    """Packages to and from the axis, and the oldest that waits to be sent."""
    for each in tallies:
        labels = (each.direction.name.lower(), each.kind.name.lower(), each.state.name.lower())
        yield Reading(measuring.AXIS_PACKAGES, each.count, labels)
    unsent = [
        each.oldest for each in tallies if each.direction is Direction.OUT and each.state in _UNSENT
    ]
    yield Reading(measuring.AXIS_UNSENT_AGE, _age(min(unsent), at) if unsent else 0)


def age(metric: Metric, since: datetime | None, at: datetime) -> Reading:
    """How long something has been so; 0 where it is not."""
    return Reading(metric, 0 if since is None else _age(since, at))


def certificate_days(ends: Mapping[tuple[str, str], datetime], at: datetime) -> Iterator[Reading]:
    """Days until each of these ends, by holder and purpose; below 0 where it has."""
    for labels, end in ends.items():
        yield Reading(measuring.CERTIFICATE_DAYS, (end - at).total_seconds() / _DAY_S, labels)


def agency_certificates(registry: Registry) -> dict[tuple[str, str], datetime]:
    """When the last certificate in force of each agency and purpose ends.

    The last, because an agency renews beside the old one: what ends before is no trouble.
    """
    ends: dict[tuple[str, str], datetime] = {}
    for agency in registry.agencies.values():
        for each in agency.certificates:
            if each.revocation is None and agency.successor is None:
                place = (agency.code, each.purpose)
                ends[place] = max(each.not_after, ends.get(place, each.not_after))
    return ends


def key_steps(steps: Iterable[PlannedStep], at: datetime) -> Iterator[Reading]:
    """Days until each step in the life of the hub's keys; below 0 where one is overdue."""
    for each in steps:
        days = (each.due - at).total_seconds() / _DAY_S
        yield Reading(measuring.KEY_DAYS, days, (each.hub_key or "next", each.action))


def _age(since: datetime, at: datetime) -> float:
    return max(0.0, (at - since).total_seconds())
