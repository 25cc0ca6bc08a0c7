"""What took how long within one call, told to a collector elsewhere; off unless it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Protocol

from hub.application.lane import Command, Lane, Recorded
from hub.application.ports import RequestKey
from hub.application.session import Session


class Tracer(Protocol):
    """Makes spans and hands them on. Trusted for nothing.

    Nobody ever waits for it: what it cannot hand on in time is dropped, and what it holds is
    bounded. Spans say methods, outcomes and positions in the log, and nothing that anybody wrote.
    Instants are of `time.perf_counter_ns`.
    """

    def call(
        self, method: str, metadata: Iterable[tuple[str, str | bytes]]
    ) -> AbstractContextManager[Callable[[str], None]]:
        """The span of a call, below that of its caller where the metadata name one.

        Yields what takes the outcome: `ok`, or the reason of the refusal.
        """
        ...

    def step(self, name: str, start: int, end: int, **about: int) -> None:
        """A step of the call being served, over already; nothing where none is."""
        ...

    def close(self) -> None:
        """Hand on what is there, for two seconds at the most."""
        ...


_served_since: ContextVar[int] = ContextVar("served_since")


def begin_call() -> None:
    """The call being served is about to be looked at."""
    _served_since.set(perf_counter_ns())


@dataclass(frozen=True, slots=True)
class BatchTimes:
    """When the batch of a command reached its steps; 0 for one that it did not reach."""

    begun: int
    decided: int
    committed: int
    signed: int


class _Watched:
    """A command that remembers which batch decided it."""

    def __init__(self, command: Command, batch: Callable[[], Callable[[], BatchTimes]]) -> None:
        self._command = command
        self._batch = batch
        self.times: Callable[[], BatchTimes] | None = None

    @property
    def request(self) -> RequestKey | None:
        return self._command.request

    @property
    def while_frozen(self) -> bool:
        return getattr(self._command, "while_frozen", False)

    def decide(self, session: Session) -> None:
        self.times = self._batch()
        self._command.decide(session)


class TracedLane:
    """The lane, with a span for each stretch of a command's way through it.

    `batch` gives, on the lane's thread, what will say when the batch in hand reached its steps.
    """

    def __init__(
        self, lane: Lane, tracer: Tracer, batch: Callable[[], Callable[[], BatchTimes]]
    ) -> None:
        self._lane = lane
        self._tracer = tracer
        self._batch = batch

    async def do(self, command: Command) -> Recorded:
        """As the lane's own."""
        watched, came = _Watched(command, self._batch), perf_counter_ns()
        if since := _served_since.get(0):
            self._tracer.step("verify", since, came)
        try:
            recorded = await self._lane.do(watched)
        except Exception:
            self._tell(came, watched)
            raise
        self._tell(came, watched, position=recorded.position)
        return recorded

    def _tell(self, came: int, watched: _Watched, **about: int) -> None:
        if watched.times is None:
            return  # Answered before, or never decided.
        times = watched.times()
        self._tracer.step("queue", came, times.begun)
        steps = (("decide", times.begun, times.decided), ("commit", times.decided, times.committed))
        for name, start, end in (*steps, ("checkpoint", times.committed, times.signed)):
            if start and end:
                self._tracer.step(name, start, end, **about)
