"""Breaking the next call of a method, in the two ways a write can fail."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from functools import wraps
from threading import RLock
from typing import Concatenate, ParamSpec, Protocol, TypeVar, cast

_P = ParamSpec("_P")
_R = TypeVar("_R")


class Fault(Enum):
    """What is left after a call that raised."""

    LOST = "nothing was done"
    KEPT = "it was done, but reported as failed"


class FaultSwitch:
    """Says which calls of one adapter fail next. Every fault raises OSError.

    `methods` are those that can be broken.
    """

    def __init__(self, adapter: object) -> None:
        self.methods = {
            name
            for name in dir(type(adapter))
            if hasattr(getattr(type(adapter), name), "breakable")
        }
        self._armed: dict[str, list[Fault]] = {}
        # Held during each breakable call: the adapters are used from several threads.
        self.lock = RLock()

    def break_next(self, method: str, fault: Fault, *, calls: int = 1) -> None:
        """Let the next `calls` calls of `method` fail; those armed before come first."""
        if method not in self.methods:
            raise ValueError(f"no breakable method is called {method}")
        self._armed.setdefault(method, []).extend([fault] * calls)

    @property
    def armed(self) -> bool:
        """Whether some fault still waits for its call."""
        return any(self._armed.values())

    def disarm(self) -> None:
        """Let no call fail that has not failed yet."""
        self._armed.clear()

    def take(self, method: str) -> Fault | None:
        """The fault of this call, used up; asked by the adapter itself."""
        waiting = self._armed.get(method)
        return waiting.pop(0) if waiting else None


class Breakable(Protocol):
    """An adapter with a switch."""

    @property
    def faults(self) -> FaultSwitch:
        """Its switch."""
        ...


_Self = TypeVar("_Self", bound=Breakable)


def breakable(
    method: Callable[Concatenate[_Self, _P], _R],
) -> Callable[Concatenate[_Self, _P], _R]:
    """Let the adapter's switch break this method; calls take turns."""

    @wraps(method)
    def call(self: _Self, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        with self.faults.lock:
            fault = self.faults.take(method.__name__)
            if fault is Fault.LOST:
                raise OSError(f"{method.__name__} failed on purpose: {fault.value}")
            result = method(self, *args, **kwargs)
            if fault is Fault.KEPT:
                raise OSError(f"{method.__name__} failed on purpose: {fault.value}")
            return result

    call.breakable = True  # type: ignore[attr-defined]  # a mark for FaultSwitch
    # mypy does not see that what `wraps` returns is called like any other method.
    return cast("Callable[Concatenate[_Self, _P], _R]", call)
