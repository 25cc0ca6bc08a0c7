"""Whether the hub can take documents now, and if not, what is in the way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from hub.application.ports import AppendProbe

# A check that takes longer is one that fails: storage that hangs must not look like health.
CHECK_WITHIN_S = 10.0
# An idle hub tries to append this often; a busy one does by its work.
PROBE_EVERY_S = 10.0

STARTING, STOPPING, SLOW = "starting", "stopping", "slow"


Round = Callable[[], tuple[str, ...]]
"""A round of checks: it may block, and says what is in the way."""


class State(StrEnum):
    """Where the process is in its life."""

    STARTING = STARTING
    SERVING = "serving"
    STOPPING = STOPPING


@dataclass(frozen=True, slots=True)
class Check:
    """Something that must hold. `holds` may block, and raise OSError: then it does not."""

    name: str
    holds: Callable[[], bool]


class Readiness:
    """The outcome of the newest round of checks; all that health checks are told."""

    def __init__(
        self,
        checks: Sequence[Check],
        failed: Callable[[str, Exception], None],
        *,
        within_s: float = CHECK_WITHIN_S,
    ) -> None:
        """`failed` hears of a check that could not be made."""
        self._checks = checks
        self._failed = failed
        self._within_s = within_s
        self._round: asyncio.Future[tuple[str, ...]] | None = None
        self._failing: tuple[str, ...] = ()
        self.state = State.STARTING

    @property
    def failing(self) -> tuple[str, ...]:
        """The names of what is in the way; empty where the hub is ready."""
        return self._failing if self.state is State.SERVING else (self.state.value,)

    @property
    def ready(self) -> bool:
        """Whether nothing is in the way."""
        return not self.failing

    async def look(self, run: Callable[[Round], asyncio.Future[tuple[str, ...]]]) -> bool:
        """Make a round of checks; `run` starts one on a thread. Whether the hub is ready.

        A round that hangs is not joined by another one: the hub is not ready until it ends.
        """
        if self._round is None or self._round.done():
            self._round = run(self._look)
        done, _ = await asyncio.wait({self._round}, timeout=self._within_s)
        self._failing = self._round.result() if done else (SLOW,)
        return self.ready

    def _look(self) -> tuple[str, ...]:
        return tuple(check.name for check in self._checks if not self._holds(check))

    def _holds(self, check: Check) -> bool:
        try:
            return check.holds()
        except Exception as error:
            self._failed(check.name, error)
            return False


class Appending:
    """Whether an event could be appended, signed and read back now.

    A hub that did so since the last look needs no trial. Else something is appended to the log's
    own tables, read back and undone, and the undoing is committed and synced: the disk is asked
    too.
    """

    def __init__(
        self,
        probe: AppendProbe,
        size: Callable[[], int],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`size` is how many events were ever appended and signed."""
        self._probe = probe
        self._size = size
        self._monotonic = monotonic
        self._seen = -1
        self._until = 0.0

    def __call__(self) -> bool:
        """True, or OSError."""
        size, now = self._size(), self._monotonic()
        if size == self._seen and now >= self._until:
            self._probe.append_and_read()
        if size != self._seen or now >= self._until:
            self._seen, self._until = size, now + PROBE_EVERY_S
        return True


def as_text(readiness: Readiness) -> Mapping[str, object]:
    """What is told of it: nothing that a stranger may not know."""
    return {"ready": readiness.ready, "failing": list(readiness.failing)}
