"""Spans in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass
class MemorySpan:
    """A span of a call, with the steps within it; `end` is 0 while the call goes on."""

    method: str
    parent: str
    outcome: str = ""
    steps: list[tuple[str, int, int, dict[str, int]]] = field(default_factory=list)


_current: ContextVar[MemorySpan | None] = ContextVar("memory_span", default=None)


class MemoryTracer:
    """The port Tracer. Raises ValueError for a step that ends before it starts."""

    def __init__(self) -> None:
        self.calls: list[MemorySpan] = []

    @contextmanager
    def call(
        self, method: str, metadata: Iterable[tuple[str, str | bytes]]
    ) -> Iterator[Callable[[str], None]]:
        """The span of a call."""
        parent = dict(metadata).get("traceparent", "")
        span = MemorySpan(method.strip("/"), str(parent).split("-")[1] if parent else "")
        token = _current.set(span)

        def tell(outcome: str) -> None:
            span.outcome = outcome

        try:
            yield tell
        finally:
            _current.reset(token)
            self.calls.append(span)

    def step(self, name: str, start: int, end: int, **about: int) -> None:
        """A step of the call being served, over already; nothing where none is."""
        if end < start:
            raise ValueError(f"the step {name} ends before it starts")
        if (span := _current.get()) is not None:
            span.steps.append((name, start, end, about))

    def close(self) -> None:
        """Nothing is held."""
