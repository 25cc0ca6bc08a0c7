"""Tests that use this clock and this randomness repeat to the byte."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from adapters.memory.determinism import CountedRandomness, FixedClock
from adapters.system import system_clock, system_randomness


def test_the_clock_stands_still_until_it_is_told():
    clock = FixedClock()
    start = clock()

    assert clock() == start
    assert clock.advance(timedelta(minutes=1)) == clock() == start + timedelta(minutes=1)

    clock.set(datetime(2026, 1, 1, 7, tzinfo=timezone(timedelta(hours=7))))
    assert clock() == datetime(2026, 1, 1, tzinfo=UTC)
    assert clock().tzinfo is UTC


def test_an_instant_without_a_zone_is_refused():
    with pytest.raises(ValueError, match="time zone"):
        FixedClock(datetime(2026, 1, 1))  # noqa: DTZ001


def test_randomness_repeats_in_every_run_and_never_within_one():
    one, other = CountedRandomness(), CountedRandomness()
    drawn = [one(16) for _ in range(100)]

    assert drawn == [other(16) for _ in range(100)]
    assert len(set(drawn)) == 100
    assert CountedRandomness("seed")(16) not in drawn
    assert [len(one(size)) for size in (0, 1, 32, 33, 1000)] == [0, 1, 32, 33, 1000]


def test_the_systems_own_clock_is_in_utc_and_its_randomness_differs():
    assert system_clock().tzinfo is UTC
    assert len(system_randomness(32)) == 32
    assert system_randomness(32) != system_randomness(32)
