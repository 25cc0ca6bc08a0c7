"""Traces on request: a collector hears of each call, and nobody waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import grpc.aio
import pytest
from opentelemetry.proto.collector.trace.v1 import (
    trace_service_pb2,
    trace_service_pb2_grpc,
)

from tests.support.hubs import (
    QUAN_1,
    TAI_CHINH,
    Founded,
    Running,
    raw_stub,
    refusal_of,
    serving,
    submission,
    until,
)
from tests.support.ports import free_port

CONTENT = b"zz31415zz"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps the spans it is handed."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.requests: list[Any] = []

    async def Export(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        for of_resource in request.resource_spans:
            for of_scope in of_resource.scope_spans:
                self.spans += of_scope.spans
        return trace_service_pb2.ExportTraceServiceResponse()

    def of_call(self, name: str) -> tuple[Any, dict[str, Any]]:
        """The one span of a call, and the steps below it by name."""
        (call,) = [span for span in self.spans if span.name.endswith(name)]
        below = [span for span in self.spans if span.parent_span_id == call.span_id]
        return call, {span.name: span for span in below}


@asynccontextmanager
async def collecting() -> AsyncIterator[tuple[Collector, int]]:
    collector, server = Collector(), grpc.aio.server()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield collector, port
    await server.stop(None)


def trace_to(founded: Founded, port: int) -> None:
    settings = founded.folder.settings
    line = f'trace_endpoint = "http://127.0.0.1:{port}"\n'
    settings.write_text(line + settings.read_text())


def attributes(span: Any) -> dict[str, Any]:
    return {each.key: each.value.string_value or each.value.int_value for each in span.attributes}


async def send(hub: Running, *, recipient: str = TAI_CHINH, metadata: Any = ()) -> Any:
    sender = hub.speaker(QUAN_1)
    async with raw_stub(sender.transport, hub.port) as stub:
        return await stub.SubmitDocument(
            submission(sender, [recipient], [CONTENT]), metadata=metadata
        )


async def test_a_collector_hears_what_each_step_of_a_call_took(founded: Founded):
    async with collecting() as (collector, port):
        trace_to(founded, port)
        async with serving(founded) as hub:
            answer = await send(hub, metadata=[("traceparent", f"00-{TRACE}-{PARENT}-01")])
        await until(lambda: any(span.name.endswith("SubmitDocument") for span in collector.spans))

    call, steps = collector.of_call("SubmitDocument")
    assert (call.trace_id.hex(), call.parent_span_id.hex()) == (TRACE, PARENT)
    assert attributes(call)["lienthong.outcome"] == "ok"
    assert set(steps) == {"verify", "queue", "decide", "commit", "checkpoint"}
    order = [steps[name] for name in ("verify", "queue", "decide", "commit", "checkpoint")]
    assert call.start_time_unix_nano <= order[0].start_time_unix_nano
    for one, next_one in pairwise(order):
        assert one.end_time_unix_nano <= next_one.start_time_unix_nano
    assert order[-1].end_time_unix_nano <= call.end_time_unix_nano
    assert attributes(steps["commit"])["lienthong.position"] == answer.acceptance.receipt.position


async def test_a_refusal_is_told_by_its_reason_and_nothing_of_the_document(founded: Founded):
    async with collecting() as (collector, port):
        trace_to(founded, port)
        async with serving(founded) as hub:
            await refusal_of(send(hub, recipient="H99.9"))
            await send(hub)
        await until(lambda: len(collector.spans) >= 7)

    outcomes = {
        attributes(span)["lienthong.outcome"]
        for span in collector.spans
        if span.name.endswith("SubmitDocument")
    }
    assert outcomes == {"RECIPIENT_UNKNOWN", "ok"}
    for request in collector.requests:
        told = request.SerializeToString()
        for word in (CONTENT, b"V/v", "văn bản".encode(), b"H99.9", b"signature"):
            assert word not in told
    known = {"rpc.system", "rpc.service", "rpc.method", "lienthong.outcome", "lienthong.position"}
    assert {name for span in collector.spans for name in attributes(span)} <= known
    assert all(not span.events for span in collector.spans)


async def test_a_collector_that_is_away_keeps_nobody_waiting(founded: Founded):
    trace_to(founded, free_port())
    async with serving(founded) as hub:
        await asyncio.gather(*(send(hub) for _ in range(5)))


async def test_without_the_setting_nothing_is_traced(hub: Running):
    await send(hub)
    assert hub.process._tracer is None


def test_without_the_library_the_setting_is_refused(
    founded: Founded, monkeypatch: pytest.MonkeyPatch
):
    import sys

    from hub.bootstrap.checking import check_settings
    from hub.config import ConfigInvalid

    trace_to(founded, 1)
    monkeypatch.setitem(sys.modules, "adapters.tracing.otel", None)
    monkeypatch.delattr("adapters.tracing.otel", raising=False)
    with pytest.raises(ConfigInvalid, match=r"pip install lienthong\[otel\]"):
        check_settings(founded.folder)
