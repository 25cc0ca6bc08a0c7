"""The writing lane: what waits is one batch, and whoever goes away takes nothing with it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from hub.application.ports import RequestKey
from hub.errors import Overloaded, Unavailable
from hub.ledger.fair_queue import Limits
from hub.ledger.writer import WritingLane


@dataclass(frozen=True)
class Named:
    """A command that is only a name, said by some caller or ("") by the hub itself."""

    name: Any
    caller: str = ""

    @property
    def request(self) -> RequestKey | None:
        return RequestKey(self.caller, str(self.name), bytes(32)) if self.caller else None


class Engine:
    """An engine that can be held, so that a test says how long a commit takes."""

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []
        self.threads: set[str] = set()
        self.behind = False
        self.moved = False
        self.answer: Callable[[Any], Any] = lambda command: f"receipt of {command}"
        self.entered = threading.Semaphore(0)
        self.gate = threading.Event()
        self.gate.set()

    def process(self, commands: Sequence[Any]) -> list[Any]:
        self.entered.release()
        self.gate.wait()
        self.threads.add(threading.current_thread().name)
        self.batches.append([command.name for command in commands])
        self.behind = False
        return [self.answer(command.name) for command in commands]


@dataclass
class Held:
    """A lane whose first batch is in its commit for as long as the test likes."""

    lane: WritingLane
    engine: Engine
    tasks: list[asyncio.Task[Any]] = field(default_factory=list)

    def ask(self, command: Any, caller: str = "") -> Coroutine[Any, Any, Any]:
        return self.lane.do(Named(command, caller))

    def do(self, *commands: Any, caller: str = "") -> list[asyncio.Task[Any]]:
        new = [asyncio.create_task(self.ask(command, caller)) for command in commands]
        self.tasks += new
        return new

    async def hold(self) -> None:
        """Let one command in, and keep its batch in the commit."""
        self.engine.gate.clear()
        self.do("held")
        await until(lambda: self.engine.entered.acquire(blocking=False))

    def release(self) -> None:
        self.engine.gate.set()


async def until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110 - other threads are waited for, which have no event
        await asyncio.sleep(0)


@pytest.fixture
async def held() -> AsyncIterator[Held]:
    engine = Engine()
    lane = WritingLane(engine, batch_max=5, limits=Limits(total=8))
    lane.start()
    held = Held(lane, engine)
    yield held
    held.release()
    await lane.stop()
    await asyncio.gather(*held.tasks, return_exceptions=True)


async def test_a_lone_command_is_a_batch_of_its_own(held):
    assert await held.ask("a") == "receipt of a"
    assert await held.ask("b") == "receipt of b"
    assert held.engine.batches == [["a"], ["b"]]


async def test_while_one_batch_is_in_its_commit_the_next_one_fills(held):
    await held.hold()
    tasks = held.do(1, 2, 3)
    await asyncio.sleep(0)
    held.release()

    assert await asyncio.gather(*tasks) == [f"receipt of {n}" for n in (1, 2, 3)]
    assert held.engine.batches == [["held"], [1, 2, 3]]


async def test_a_batch_has_a_largest_size_and_order_is_kept(held):
    await held.hold()
    tasks = held.do(*range(8))
    await asyncio.sleep(0)
    held.release()
    await asyncio.gather(*tasks)

    assert held.engine.batches == [["held"], [0, 1, 2, 3, 4], [5, 6, 7]]


async def test_everything_is_decided_on_one_thread_that_is_not_the_loops(held):
    for command in range(5):
        await held.ask(command)

    (thread,) = held.engine.threads
    assert thread != threading.current_thread().name


async def test_a_caller_that_goes_away_does_not_poison_the_batch(held):
    await held.hold()
    tasks = held.do("a", "b", "c")
    await asyncio.sleep(0)
    tasks[1].cancel()
    held.release()

    assert await tasks[0] == "receipt of a"
    assert await tasks[2] == "receipt of c"
    with pytest.raises(asyncio.CancelledError):
        await tasks[1]
    assert held.engine.batches[1] == ["a", "b", "c"], "what was taken in stands"


async def test_a_caller_that_goes_away_during_its_commit_does_not_either(held):
    await held.hold()
    held.tasks[0].cancel()
    tasks = held.do("a")
    await asyncio.sleep(0)
    held.release()

    assert await tasks[0] == "receipt of a"
    assert await held.ask("b") == "receipt of b"


async def test_a_full_queue_refuses_at_once_and_says_when_to_come_back(held):
    await held.hold()
    tasks = held.do(*range(8))
    await asyncio.sleep(0)

    with pytest.raises(Overloaded) as refusal:
        await held.ask("one too many")
    held.release()

    assert int(refusal.value.metadata["retry_after_ms"]) > 0
    await asyncio.gather(*tasks)
    assert await held.ask("later") == "receipt of later"
    assert not any("one too many" in batch for batch in held.engine.batches)


async def test_a_busy_caller_waits_for_itself_and_not_the_others_for_it(held):
    await held.hold()
    busy = held.do(*range(6), caller="busy")
    quiet = held.do("a", caller="quiet")
    await asyncio.sleep(0)
    held.release()
    await asyncio.gather(*busy, *quiet)

    assert held.engine.batches == [["held"], [0, "a", 1, 2, 3], [4, 5]]


async def test_a_caller_whose_queue_is_full_is_refused_while_others_are_taken_in():
    engine = Engine()
    lane = WritingLane(engine, limits=Limits(total=8, per_caller=2))
    lane.start()
    held = Held(lane, engine)
    await held.hold()
    tasks = held.do(1, 2, caller="busy")
    await asyncio.sleep(0)

    with pytest.raises(Overloaded, match="this caller's"):
        await held.ask(3, "busy")
    tasks += held.do(4, caller="quiet")
    await asyncio.sleep(0)
    held.release()

    assert await asyncio.gather(*tasks) == [f"receipt of {n}" for n in (1, 2, 4)]
    await lane.stop()


async def test_a_caller_that_comes_too_fast_is_told_when_to_come_back():
    now = [100.0]
    engine = Engine()
    limits = Limits(rate_per_s=2, burst=3)
    lane = WritingLane(engine, limits=limits, monotonic=lambda: now[0])
    lane.start()
    held = Held(lane, engine)
    for command in range(3):
        await held.ask(command, "fast")

    with pytest.raises(Overloaded) as refusal:
        await held.ask(3, "fast")
    assert await held.ask("a", "slow") == "receipt of a"
    now[0] += int(refusal.value.metadata["retry_after_ms"]) / 1000

    assert await held.ask(3, "fast") == "receipt of 3"
    await lane.stop()


async def test_a_refusal_reaches_its_own_caller_only(held):
    refusal = Unavailable("no")
    held.engine.answer = lambda command: refusal if command == "b" else command
    await held.hold()
    tasks = held.do("a", "b", "c")
    await asyncio.sleep(0)
    held.release()

    assert await asyncio.gather(*tasks, return_exceptions=True) == ["a", refusal, "c"]


async def test_an_engine_that_breaks_is_heard_of_and_the_lane_lives_on(held):
    def break_once(command):
        held.engine.answer = lambda command: command
        raise ZeroDivisionError

    held.engine.answer = break_once
    with pytest.raises(ZeroDivisionError):
        await held.ask("a")

    assert await held.ask("b") == "b"


async def test_stopping_finishes_what_waits_and_takes_nothing_more_in(held):
    await held.hold()
    tasks = held.do(*range(7))
    await asyncio.sleep(0)
    stopping = asyncio.create_task(held.lane.stop())
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await held.ask("too late")
    assert not stopping.done()
    held.release()
    await stopping

    assert [task.result() for task in tasks] == [f"receipt of {n}" for n in range(7)]
    assert [len(batch) for batch in held.engine.batches] == [1, 5, 2]


async def test_an_idle_lane_stops():
    lane = WritingLane(Engine())
    lane.start()

    await lane.stop()

    with pytest.raises(Unavailable):
        await lane.do(Named("too late"))


async def test_a_lane_that_never_started_stops():
    await WritingLane(Engine()).stop()


async def test_an_engine_that_is_behind_is_called_without_a_command(monkeypatch):
    monkeypatch.setattr("hub.ledger.writer._CATCH_UP_S", 0.001)
    engine = Engine()
    lane = WritingLane(engine)
    engine.behind = True
    lane.start()

    await until(lambda: engine.batches == [[]])

    await lane.stop()
    assert engine.batches == [[]], "and once it is not behind any more, not again"


async def test_an_engine_that_is_not_behind_is_left_alone(monkeypatch):
    monkeypatch.setattr("hub.ledger.writer._CATCH_UP_S", 0)
    engine = Engine()
    lane = WritingLane(engine)
    lane.start()
    for _ in range(50):
        await asyncio.sleep(0)

    await lane.stop()
    assert engine.batches == []
