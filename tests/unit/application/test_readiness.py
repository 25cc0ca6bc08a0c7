"""A hub is ready while nothing is in the way, and says what is."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from adapters.memory.probe import MemoryAppendProbe
from hub.application.readiness import (
    PROBE_EVERY_S,
    Appending,
    Check,
    Readiness,
    State,
    as_text,
)


class Failures(list[str]):
    def __call__(self, check: str, error: Exception) -> None:
        self.append(check)


async def look(readiness: Readiness, threads: ThreadPoolExecutor) -> bool:
    loop = asyncio.get_running_loop()
    return await readiness.look(lambda work: loop.run_in_executor(threads, work))


@pytest.fixture
def threads() -> Any:
    with ThreadPoolExecutor(1) as pool:
        yield pool


async def test_it_names_every_check_that_fails(threads: ThreadPoolExecutor):
    def broken() -> bool:
        raise OSError("no room left on the device")

    failures = Failures()
    checks = [Check("a", lambda: True), Check("b", lambda: False), Check("c", broken)]
    readiness = Readiness(checks, failures)
    readiness.state = State.SERVING
    assert not await look(readiness, threads)
    assert as_text(readiness) == {"ready": False, "failing": ["b", "c"]}
    assert failures == ["c"]


async def test_before_the_start_is_over_and_once_it_stops_it_is_not_ready(
    threads: ThreadPoolExecutor,
):
    readiness = Readiness([], Failures())
    assert not await look(readiness, threads)
    assert readiness.failing == ("starting",)
    readiness.state = State.SERVING
    assert await look(readiness, threads)
    readiness.state = State.STOPPING
    assert readiness.failing == ("stopping",)


async def test_a_check_that_hangs_is_a_check_that_fails_and_is_not_made_twice(
    threads: ThreadPoolExecutor,
):
    free, entered = threading.Event(), []

    def hangs() -> bool:
        entered.append(1)
        return free.wait()

    readiness = Readiness([Check("disk", hangs)], Failures(), within_s=0.05)
    readiness.state = State.SERVING
    assert not await look(readiness, threads)
    assert not await look(readiness, threads)
    assert (readiness.failing, entered) == (("slow",), [1])
    free.set()
    while not await look(readiness, threads):
        pass
    assert readiness.ready


def test_an_idle_hub_tries_to_append_now_and_then_and_a_busy_one_never():
    probe, size, now = MemoryAppendProbe(), [0], [0.0]
    appending = Appending(probe, lambda: size[0], monotonic=lambda: now[0])
    for at in (0, 2, 4):  # busy
        size[0], now[0] = size[0] + 1, at
        assert appending()
    assert probe.tried == 0
    for at in (6, 8, PROBE_EVERY_S + 4, PROBE_EVERY_S + 6):
        now[0] = at
        assert appending()
    assert probe.tried == 1


def test_where_nothing_can_be_appended_each_look_says_so():
    probe, now = MemoryAppendProbe(), [0.0]
    appending = Appending(probe, lambda: 5, monotonic=lambda: now[0])
    assert appending()
    probe.broken = OSError("no room left on the device")
    for at in (PROBE_EVERY_S, PROBE_EVERY_S + 2):
        now[0] = at
        with pytest.raises(OSError, match="no room"):
            appending()
    assert probe.tried == 2
