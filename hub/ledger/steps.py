"""When a batch reached each of its steps: what metrics and traces are made of."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable

from hub.application import measuring
from hub.application.measuring import Meter, NoMeter
from hub.application.ports import LogEntry
from hub.application.tracing import BatchTimes


class Steps:
    """One batch. Instants are of `time.perf_counter_ns`; 0 where a step was not reached."""

    __slots__ = ("_meter", "begun", "committed", "decided", "signed")

    def __init__(self, meter: Meter, commands: int) -> None:
        self._meter = meter
        self.decided = self.committed = self.signed = 0
        if commands:
            meter.observe(measuring.BATCH_COMMANDS, commands)
        self.begun = time.perf_counter_ns()

    def are_decided(self) -> None:
        """Every command of it is decided."""
        self.decided = self._took("decide", self.begun)

    def are_committed(self) -> None:
        """Its events are in the database, durably."""
        self.committed = self._took("commit", self.decided)

    def are_signed(self, entries: Iterable[LogEntry]) -> None:
        """A stored checkpoint covers these events."""
        self.signed = self._took("checkpoint", self.committed or self.decided)
        # A batch is counted at once: what is done for each event is paid for by each call.
        for topic, count in Counter(entry.topic for entry in entries).items():
            self._meter.count(measuring.EVENTS, topic, by=count)

    def times(self) -> BatchTimes:
        """When it reached each of them, up to now."""
        return BatchTimes(self.begun, self.decided, self.committed, self.signed)

    def _took(self, step: str, since: int) -> int:
        now = time.perf_counter_ns()
        self._meter.observe(measuring.BATCH_SECONDS, (now - since) / 1e9, step)
        return now


class Stepping:
    """The batches of one lane. `current` is the one in its steps, for the thread that has it."""

    def __init__(self, meter: Meter | None = None) -> None:
        self._meter: Meter = meter or NoMeter()
        self.current = Steps(NoMeter(), 0)

    def begin(self, commands: int) -> Steps:
        """A batch of so many commands begins."""
        self.current = Steps(self._meter, commands)
        return self.current

    def current_times(self) -> Callable[[], BatchTimes]:
        """What will say when the batch in hand reached its steps; for the lane's thread."""
        return self.current.times

    def failed(self, step: str) -> None:
        """Storage or signer failed in a step: `commit` or `checkpoint`."""
        self._meter.count(measuring.BATCH_FAILURES, step)

    def waited(self, since: float) -> None:
        """The command that came first in a batch has waited since then, by `perf_counter`."""
        self._meter.observe(measuring.QUEUE_SECONDS, time.perf_counter() - since)
