"""A hub that stood still looks again before it acts on the world."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest

from adapters.memory.leading import MemoryLease
from hub.application.leading import StillLeading
from hub.application.ports import NotLeading
from tests.support.builders import run

T = TypeVar("T")


class Machine:
    """A clock, and a process that is stopped for some seconds after each of its next looks."""

    def __init__(self, lease: MemoryLease, *stops: float, is_followed: bool = False) -> None:
        self._lease, self._stops, self._is_followed = lease, list(stops), is_followed
        self.now = 0.0

    async def offload(self, work: Callable[[], T]) -> T:
        result = work()
        if self._stops:
            self.now += self._stops.pop(0)
            self._lease.taken = self._is_followed
        return result


def pass_by(lease: MemoryLease, machine: Machine) -> None:
    run(StillLeading(lease, offload=machine.offload, elapsed=lambda: machine.now)())


def test_who_leads_may_act_and_is_asked_each_time():
    lease = MemoryLease()
    for _ in range(3):
        pass_by(lease, Machine(lease))
    assert lease.asked == 3


def test_who_was_followed_may_not():
    lease = MemoryLease()
    lease.taken = True
    with pytest.raises(NotLeading):
        pass_by(lease, Machine(lease))


def test_who_stood_still_after_the_answer_asks_again():
    lease = MemoryLease()
    with pytest.raises(NotLeading, match="another hub"):
        pass_by(lease, Machine(lease, 60.0, is_followed=True))
    assert lease.asked == 2

    lease = MemoryLease()
    pass_by(lease, Machine(lease, 60.0))
    assert lease.asked == 2, "and nobody had followed"


def test_a_hub_whose_answers_are_always_too_old_does_not_act():
    lease = MemoryLease()
    with pytest.raises(NotLeading, match="longer to ask"):
        pass_by(lease, Machine(lease, *[5.0] * 10))
