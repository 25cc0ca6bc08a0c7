"""An auditor's client on a hub in memory, through the real service but without a network.

What goes over the line can be changed on its way: a hub that lies, or a line that breaks.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import grpc

from adapters.memory.figures import MemoryFigures
from hub.application.case_reading import CaseReading
from hub.application.registry import Caller, Role
from hub.application.replay import Replay
from hub.application.statistics import Counting
from hub.auditor.client import AuditClient
from hub.client.client import consistency_of
from hub.client.memory import CheckpointMemory
from hub.client.retry import RetryPolicy
from hub.client.verification import ReceiptVerifier
from hub.domain.working_days import WorkingDays
from hub.server import audit_service, interceptors
from hub.server.audit_service import AuditServicer
from hub.v1 import ledger_service_pb2
from tests.support.builders import ORIGIN, MemoryHub, at_once

AUDITOR = Caller(Role.AUDITOR, "thanh-tra-1")

Change = Callable[[Iterable[Any]], Iterator[Any]]
"""What becomes of the messages of one stream on their way."""


class Broken(grpc.aio.AioRpcError):
    """A line that broke without a word."""

    def __init__(self, code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE) -> None:
        empty = grpc.aio.Metadata()
        super().__init__(code, empty, empty, "the line broke")


def untouched(messages: Iterable[Any]) -> Iterator[Any]:
    yield from messages


class MemoryLine:
    """What `AuditClient` asks of a line. `changes` are used up, one by each stream."""

    def __init__(self, hub: MemoryHub, changes: Iterable[Change] = ()) -> None:
        self.policy = RetryPolicy(attempts_max=3, sleep=self._sleep, chance=lambda: 0.0)
        self.audit = self
        self.ledger = self
        self.asked: list[Any] = []
        self.pauses: list[float] = []
        self._hub = hub
        self._changes = list(changes)
        self._servicer = servicer_of(hub)

    def __getattr__(self, method: str) -> Any:
        return lambda request, timeout=None: self._stream(method, request)

    async def GetConsistencyProof(self, request: Any) -> Any:
        hashes = self._hub.receipts.consistency(request.old_size, request.new_size)
        return ledger_service_pb2.GetConsistencyProofResponse(hashes=hashes)

    async def call(self, method: Any, request: Any) -> Any:
        return await method(request)

    def _stream(self, method: str, request: Any) -> _Stream:
        self.asked.append(request)
        change = self._changes.pop(0) if self._changes else untouched
        return _Stream(getattr(self._servicer, method), request, change)

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)


class _Stream:
    def __init__(self, serve: Any, request: Any, change: Change) -> None:
        self._serve, self._request, self._change = serve, request, change

    async def __aiter__(self) -> AsyncIterator[Any]:
        interceptors._caller.set(AUDITOR)
        messages = [message async for message in self._serve(self._request, None)]
        for message in self._change(messages):
            yield message

    def cancel(self) -> bool:
        return True


def servicer_of(hub: MemoryHub, calendar: WorkingDays | None = None) -> AuditServicer:
    """The real service over a hub in memory."""
    return audit_service.AuditServicer(replay_of(hub), reading_of(hub), counting_of(hub, calendar))


def replay_of(hub: MemoryHub) -> Replay:
    return Replay(hub.log, hub.receipts, at_once)


def reading_of(hub: MemoryHub, lane: Any = None) -> CaseReading:
    return CaseReading(
        log=hub.log,
        lane=lane or hub.lane,
        receipts=hub.receipts,
        content=hub.stores.content,
        vault=hub.vault,
        offload=at_once,
    )


def counting_of(hub: MemoryHub, calendar: WorkingDays | None = None) -> Counting:
    return Counting(
        figures=MemoryFigures(hub.views),
        receipts=hub.receipts,
        registry=lambda: hub.engine.registry,
        calendar=calendar,  # type: ignore[arg-type]
        offload=at_once,
        clock=hub.clock,
    )


def client_on(line: MemoryLine, hub: MemoryHub, folder: Path) -> AuditClient:
    """A client that keeps what it saw in this folder."""
    folder.mkdir(exist_ok=True)
    memory = CheckpointMemory(folder)
    return AuditClient(line, ReceiptVerifier(hub.trust, ORIGIN, memory, consistency_of(line)))  # type: ignore[arg-type]
