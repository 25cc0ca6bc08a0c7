"""Everything that goes wrong on a real axis, on demand or at random."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field
from enum import StrEnum

ANY_CALL = "*"


class Fault(StrEnum):
    """One way to go wrong. Where nothing else is said, the call was carried out all the same."""

    LOST_REQUEST = "lost-request"
    """The connection closes, and nothing was done."""
    NO_REPLY = "no-reply"
    """The connection closes without an answer."""
    SLOW = "slow"
    """The answer comes after `slow_s` seconds."""
    ERROR_500 = "error-500"
    """HTTP 500 without a body, and nothing was done."""
    ERROR_500_JSON = "error-500-json"
    """HTTP 500 with the JSON of a success."""
    GATEWAY_PAGE = "gateway-page"
    """HTTP 200 with a page of HTML."""
    EMPTY = "empty"
    """HTTP 200 with an empty body."""
    CUT_JSON = "cut-json"
    """The first half of the answer, as if it were whole."""
    TRUNCATED = "truncated"
    """Fewer bytes than announced."""
    REFUSED_20 = "refused-20"
    """Code 20, "internal error", and nothing was done."""
    DUPLICATE = "duplicate"
    """A package is delivered twice, under two ids; a list names each item twice."""
    SECOND_ID = "second-id"
    """A repeated request is taken for a new one."""
    OUT_OF_ORDER = "out-of-order"
    """A list in another order."""
    WRONG_BASE64 = "wrong-base64"
    """A package in an answer that is not base64."""


@dataclass(slots=True)
class _Planned:
    call: str
    fault: Fault
    times: int


@dataclass(slots=True)
class Faults:
    """Which fault happens to which call: planned ones first, then at random by `rate`.

    `rate` is the share of calls that go wrong, 0 to 1; `seed` makes a run repeatable.
    """

    rate: float = 0.0
    seed: int = 0
    slow_s: float = 1.0
    among: tuple[Fault, ...] = tuple(Fault)
    happened: list[tuple[str, Fault]] = field(default_factory=list)
    _planned: list[_Planned] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - faults, not secrets

    def plan(self, fault: Fault, call: str = ANY_CALL, times: int = 1) -> None:
        """Let a fault happen to the next calls of a name, or to whichever come."""
        with self._lock:
            self._planned.append(_Planned(call, fault, times))

    def clear(self) -> None:
        """Let everything go well from now on."""
        with self._lock:
            self._planned.clear()
            self.rate = 0.0

    def next(self, call: str) -> Fault | None:
        """The fault that happens to this call, if one does."""
        with self._lock:
            fault = self._planned_for(call)
            if fault is None and self._random.random() < self.rate:
                fault = self._random.choice(self.among)
            if fault is not None:
                self.happened.append((call, fault))
            return fault

    def _planned_for(self, call: str) -> Fault | None:
        for planned in self._planned:
            if planned.call in (call, ANY_CALL):
                planned.times -= 1
                if planned.times <= 0:
                    self._planned.remove(planned)
                return planned.fault
        return None
