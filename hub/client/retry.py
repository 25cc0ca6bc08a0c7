"""What may be sent again: the very same bytes, a bounded number of times, never after a refusal.

Whatever the hub accepts is idempotent, so an attempt whose answer was lost costs nothing but
the second one. A refusal is an answer; asking again would only hide it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import grpc

from hub.client.errors import (
    REPEATABLE,
    Failure,
    HubUnreachable,
    UnexpectedAnswer,
    error_of,
    retry_after_s,
)
from hub.errors import HubError

T = TypeVar("T")

Meaning = HubError | HubUnreachable | UnexpectedAnswer


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often, how long and how far apart; times in seconds.

    `deadline_s` ends each single attempt. `stream_deadline_s` ends one connection of a watch
    or download, which then goes on where it stopped: a line that died without a word is
    noticed no later. `sleep` and `chance` (from 0 to 1) are handed in by tests.
    """

    attempts_max: int = 6
    delay_first_s: float = 0.25
    delay_max_s: float = 20.0
    deadline_s: float = 30.0
    stream_deadline_s: float = 300.0
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: Callable[[], float] = random.SystemRandom().random

    def delay_s(self, attempt: int, *, at_least_s: float = 0.0) -> float:
        """The pause after that attempt, counted from 0: exponential, with full jitter.

        What the hub asked for is a floor, and the jitter comes on top: clients refused
        together must not return together.
        """
        ceiling = self.delay_max_s
        if attempt < 32:  # Beyond it the power only grows too large for a float.
            ceiling = min(ceiling, self.delay_first_s * 2.0**attempt)
        return at_least_s + self.chance() * ceiling

    async def pause(self, attempt: int, failure: Failure | None = None) -> None:
        """Wait before the attempt after that one."""
        asked = retry_after_s(failure) if failure is not None else 0.0
        await self.sleep(self.delay_s(attempt, at_least_s=asked))


def is_repeatable(error: Meaning) -> bool:
    """Whether the same call may be made again."""
    return isinstance(error, (HubUnreachable, *REPEATABLE))


async def repeat(policy: RetryPolicy, call: Callable[[float], Awaitable[T]]) -> T:
    """Make a call, `call(deadline_s)`, until it is answered or the attempts are used up.

    Raises the hub's refusal or UnexpectedAnswer at once, and HubUnreachable after the last
    attempt, caused by what that one met.
    """
    attempt = 0
    while True:
        try:
            return await call(policy.deadline_s)
        except grpc.RpcError as failure:
            error = error_of(failure)
            if not is_repeatable(error):
                raise error from failure
            if attempt + 1 >= policy.attempts_max:
                raise given_up(attempt + 1, error) from error
            await policy.pause(attempt, failure)
        attempt += 1


def given_up(attempts: int, error: Meaning) -> HubUnreachable:
    """The failure after the last attempt."""
    return HubUnreachable(f"no answer in {attempts} attempts; the last one: {error}")
