"""Waiting commands, kept apart by caller so that one busy agency does not starve the rest."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from hub.errors import Overloaded

T = TypeVar("T")

_FULL_RETRY_MS = 1000


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may wait, in all and for each caller, and how fast each may come.

    `rate_per_s` is the steady number of commands a second, `burst` how many may come at once
    after a quiet time.
    """

    total: int = 4096
    per_caller: int = 512
    rate_per_s: float = 500.0
    burst: int = 2000


class FairQueue(Generic[T]):
    """Queues of bounded length, served in turn. Used on one thread; the clock is handed in."""

    def __init__(self, limits: Limits, monotonic: Callable[[], float]) -> None:
        self._limits = limits
        self._monotonic = monotonic
        self._waiting: dict[str, deque[T]] = {}
        self._buckets: dict[str, _Bucket] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def put(self, caller: str, item: T) -> None:
        """Let a command wait. Raises Overloaded, saying when to come back."""
        waiting = self._waiting.get(caller)
        if self._count >= self._limits.total:
            raise _overloaded("too many commands are waiting", _FULL_RETRY_MS)
        if waiting is not None and len(waiting) >= self._limits.per_caller:
            raise _overloaded("too many of this caller's commands are waiting", _FULL_RETRY_MS)
        self._spend(caller)
        if waiting is None:
            waiting = self._waiting[caller] = deque()
        waiting.append(item)
        self._count += 1

    def take(self, limit: int) -> list[T]:
        """At most `limit` commands, one of each caller in turn, each caller's in order.

        A caller that was served goes behind those still waiting, so that the next batch
        begins with somebody else.
        """
        taken: list[T] = []
        while self._waiting and len(taken) < limit:
            caller = next(iter(self._waiting))
            waiting = self._waiting.pop(caller)
            taken.append(waiting.popleft())
            if waiting:
                self._waiting[caller] = waiting
        self._count -= len(taken)
        return taken

    def waiting(self) -> dict[str, int]:
        """How many commands of each caller wait."""
        return {caller: len(items) for caller, items in self._waiting.items()}

    def _spend(self, caller: str) -> None:
        now = self._monotonic()
        bucket = self._buckets.get(caller)
        if bucket is None:
            self._forget_full_buckets(now)
            bucket = self._buckets[caller] = _Bucket(self._limits.burst, now)
        bucket.spend(now, self._limits)

    def _forget_full_buckets(self, now: float) -> None:
        # A full bucket is what a newcomer gets: forgetting it changes nothing and bounds memory.
        if len(self._buckets) >= self._limits.total:
            for caller in [c for c, b in self._buckets.items() if b.is_full(now, self._limits)]:
                del self._buckets[caller]


class _Bucket:
    """A token bucket: so many commands may come at once, and then so many a second."""

    def __init__(self, tokens: float, at: float) -> None:
        self._tokens = tokens
        self._at = at

    def spend(self, now: float, limits: Limits) -> None:
        """Take one token, or say when there will be one."""
        tokens = self._filled(now, limits)
        if tokens < 1:
            wait_ms = int((1 - tokens) / limits.rate_per_s * 1000) + 1
            raise _overloaded("this caller sends faster than it may", wait_ms)
        self._tokens, self._at = tokens - 1, now

    def is_full(self, now: float, limits: Limits) -> bool:
        """Whether it holds all it can."""
        return self._filled(now, limits) >= limits.burst

    def _filled(self, now: float, limits: Limits) -> float:
        return min(limits.burst, self._tokens + (now - self._at) * limits.rate_per_s)


def _overloaded(why: str, retry_after_ms: int) -> Overloaded:
    return Overloaded(f"{why}; come back later", retry_after_ms=str(retry_after_ms))
