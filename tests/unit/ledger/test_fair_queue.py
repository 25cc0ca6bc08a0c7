"""One busy caller waits for itself: bounds, turns, order, rate."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.errors import Overloaded
from hub.ledger.fair_queue import FairQueue, Limits


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def queue(**limits: Any) -> FairQueue[Any]:
    return FairQueue(Limits(**limits), Clock())


def filled(waiting: FairQueue[Any], *items: tuple[str, Any]) -> FairQueue[Any]:
    for caller, item in items:
        waiting.put(caller, item)
    return waiting


# --- Turns ----------------------------------------------------------------------------------


def test_callers_take_turns_and_each_keeps_its_order():
    waiting = filled(queue(), *(("a", n) for n in range(4)), ("b", 10), ("c", 20), ("b", 11))

    assert waiting.take(99) == [0, 10, 20, 1, 11, 2, 3]
    assert len(waiting) == 0


def test_who_was_served_goes_behind_those_still_waiting():
    waiting = filled(queue(), ("a", 1), ("a", 2), ("b", 3), ("c", 4))

    assert [waiting.take(1) for _ in range(4)] == [[1], [3], [4], [2]]


def test_who_comes_back_after_its_turn_does_not_overtake():
    waiting = filled(queue(), ("a", 1), ("b", 2))
    assert waiting.take(1) == [1]
    filled(waiting, ("a", 3))

    assert waiting.take(9) == [2, 3]


def test_nothing_waits_in_an_empty_queue():
    waiting = queue()

    assert waiting.take(5) == []
    assert not waiting
    assert waiting.waiting() == {}


def test_it_says_how_many_of_each_caller_wait():
    waiting = filled(queue(), ("a", 1), ("a", 2), ("b", 3))

    assert waiting.waiting() == {"a": 2, "b": 1}
    waiting.take(1)
    assert waiting.waiting() == {"b": 1, "a": 1}


# --- Bounds -----------------------------------------------------------------------------------


def test_a_callers_queue_is_bounded_and_others_are_not_refused_for_it():
    waiting = filled(queue(per_caller=2), ("a", 1), ("a", 2))

    with pytest.raises(Overloaded) as refusal:
        waiting.put("a", 3)
    waiting.put("b", 4)

    assert int(refusal.value.metadata["retry_after_ms"]) > 0
    assert waiting.take(9) == [1, 4, 2]


def test_all_that_wait_are_bounded():
    waiting = filled(queue(total=3), ("a", 1), ("b", 2), ("c", 3))

    with pytest.raises(Overloaded):
        waiting.put("d", 4)
    waiting.take(1)
    waiting.put("d", 4)

    assert waiting.take(9) == [2, 3, 4]


def test_who_is_refused_for_a_full_queue_loses_no_token():
    clock = Clock()
    waiting: FairQueue[int] = FairQueue(Limits(per_caller=1, burst=2, rate_per_s=1), clock)
    waiting.put("a", 1)
    for _ in range(5):
        with pytest.raises(Overloaded, match="waiting"):
            waiting.put("a", 2)
    waiting.take(1)

    waiting.put("a", 2)


# --- The token bucket -------------------------------------------------------------------------


def test_a_burst_is_let_in_and_then_a_steady_rate():
    clock = Clock()
    waiting: FairQueue[int] = FairQueue(Limits(rate_per_s=2, burst=3), clock)
    filled(waiting, ("a", 1), ("a", 2), ("a", 3))

    with pytest.raises(Overloaded, match="faster") as refusal:
        waiting.put("a", 4)

    # Half a second to the next token: so much it says, and then it is there.
    wait_ms = int(refusal.value.metadata["retry_after_ms"])
    assert 500 <= wait_ms <= 501
    clock.now += wait_ms / 1000
    waiting.put("a", 4)
    with pytest.raises(Overloaded):
        waiting.put("a", 5)


def test_whoever_waits_as_long_as_it_is_told_is_let_in():
    clock = Clock()
    for rate in (0.1, 1 / 3, 7, 499.9):
        waiting: FairQueue[int] = FairQueue(Limits(rate_per_s=rate, burst=1), clock)
        waiting.put("a", 0)
        for item in range(1, 20):
            clock.now += 0.2 / rate
            with pytest.raises(Overloaded) as refusal:
                waiting.put("a", item)
            clock.now += int(refusal.value.metadata["retry_after_ms"]) / 1000
            waiting.put("a", item)


def test_quiet_time_fills_a_bucket_to_the_burst_and_no_further():
    clock = Clock()
    waiting: FairQueue[int] = FairQueue(Limits(rate_per_s=10, burst=3), clock)
    filled(waiting, ("a", 1), ("a", 2), ("a", 3))
    clock.now += 1_000_000

    filled(waiting, ("a", 4), ("a", 5), ("a", 6))
    with pytest.raises(Overloaded):
        waiting.put("a", 7)


def test_buckets_are_kept_apart():
    waiting = filled(queue(rate_per_s=1, burst=1), ("a", 1), ("b", 2))

    for caller in ("a", "b"):
        with pytest.raises(Overloaded):
            waiting.put(caller, 3)


def test_a_clock_that_stands_still_gives_no_tokens_and_loses_none():
    waiting = filled(queue(rate_per_s=1000, burst=2), ("a", 1))

    waiting.put("a", 2)
    with pytest.raises(Overloaded):
        waiting.put("a", 3)


def test_what_is_remembered_of_callers_that_have_gone_is_bounded():
    clock = Clock()
    limits = Limits(total=10, rate_per_s=1, burst=2)
    waiting: FairQueue[int] = FairQueue(limits, clock)
    for number in range(10_000):
        waiting.put(f"H{number}", number)
        waiting.take(1)
        clock.now += 0.1  # Whose token comes back a second later.
        assert len(waiting._buckets) <= limits.total + 10
        assert len(waiting._waiting) == 0


# --- Whatever happens -------------------------------------------------------------------------

LIMITS = Limits(total=12, per_caller=5, rate_per_s=4, burst=8)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from("abcdef")),
        st.tuples(st.just("take"), st.integers(1, 8)),
        st.tuples(st.just("wait"), st.sampled_from([0.0, 0.1, 0.25, 1.0, 3.0])),
    ),
    max_size=120,
)


@given(STEPS)
def test_bounds_order_and_turns_hold_whatever_happens(steps):
    clock = Clock()
    waiting: FairQueue[tuple[str, int]] = FairQueue(LIMITS, clock)
    model: dict[str, list[int]] = defaultdict(list)
    let_in: dict[str, list[float]] = defaultdict(list)
    for number, (step, what) in enumerate(steps):
        if step == "wait":
            clock.now += what
        elif step == "put":
            size = sum(map(len, model.values()))
            try:
                waiting.put(what, (what, number))
            except Overloaded:
                full = size == LIMITS.total or len(model[what]) == LIMITS.per_caller
                assert full or spent(let_in[what], clock.now) > LIMITS.burst - 1
            else:
                model[what].append(number)
                let_in[what].append(clock.now)
        else:
            present = {caller for caller, items in model.items() if items}
            taken = waiting.take(what)
            assert len(taken) == min(what, sum(map(len, model.values())))
            for caller, item in taken:
                assert model[caller].pop(0) == item, "a caller's own order is kept"
            counts = Counter(caller for caller, _ in taken)
            if len(present) <= what:
                assert counts.keys() == present, "everybody who waits is in the next batch"
            for caller in present:
                if model[caller]:
                    assert max(counts.values()) <= counts[caller] + 1, "nobody is served more"
        assert len(waiting) == sum(map(len, model.values())) <= LIMITS.total
        assert waiting.waiting() == {c: len(items) for c, items in model.items() if items}
        assert all(len(items) <= LIMITS.per_caller for items in model.values())
        for times in let_in.values():
            assert spent(times, clock.now) <= LIMITS.burst + 1e-6


def spent(times: list[float], now: float) -> float:
    """How many tokens of a bucket that began full are gone."""
    gone, last = 0.0, now
    for at in times:
        gone = max(0.0, gone - (at - last) * LIMITS.rate_per_s) + 1 if at >= last else 1.0
        last = at
    return max(0.0, gone - (now - last) * LIMITS.rate_per_s)


@given(
    st.lists(st.sampled_from("abcde"), min_size=1, max_size=40),
    st.integers(1, 300),
    st.integers(5, 9),
)
def test_a_busy_caller_never_keeps_another_out_of_the_next_batch(others, busy, batch):
    waiting: FairQueue[str] = queue(per_caller=1000)
    for _ in range(busy):
        waiting.put("busy", "busy")
    for caller in others:
        waiting.put(caller, caller)
    if len(set(others)) >= batch:
        return

    taken = waiting.take(batch)

    assert set(others) <= set(taken)
    served, left = Counter(taken), waiting.waiting()
    assert all(served["busy"] <= served[each] + 1 for each in set(others) if each in left)
