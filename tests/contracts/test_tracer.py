"""Every Tracer makes one span of a call, with its steps below, and keeps nobody waiting."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from adapters.memory.tracing import MemoryTracer
from adapters.tracing.otel import SPANS_MAX, OtelTracer
from hub.application.tracing import Tracer

METHOD = "/hub.v1.ExchangeService/SubmitDocument"
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = (("traceparent", f"00-{TRACE}-b7ad6b7169203331-01"),)
Told = Callable[[], list[tuple[str, str, str, list[tuple[str, dict[str, Any]]]]]]


@pytest.fixture(params=["memory", "otel"])
def traced(request: pytest.FixtureRequest) -> tuple[Tracer, Told]:
    """A tracer, and what it told: of each call its method, trace, outcome and steps."""
    if request.param == "memory":
        memory = MemoryTracer()
        return memory, lambda: [
            (span.method, span.parent, span.outcome, [(n, about) for n, _, _, about in span.steps])
            for span in memory.calls
        ]
    exporter = InMemorySpanExporter()
    tracer = OtelTracer(exporter, version="1")
    return tracer, lambda: finished(tracer, exporter)


def finished(tracer: OtelTracer, exporter: InMemorySpanExporter) -> list[Any]:
    tracer._provider.force_flush()
    spans = exporter.get_finished_spans()
    calls = [span for span in spans if "rpc.method" in span.attributes]
    return [
        (
            call.name,
            f"{call.context.trace_id:032x}" if call.parent else "",
            call.attributes["lienthong.outcome"],
            [
                (each.name, {k.removeprefix("lienthong."): v for k, v in each.attributes.items()})
                for each in spans
                if each.parent and each.parent.span_id == call.context.span_id
            ],
        )
        for call in calls
    ]


def test_a_call_is_one_span_with_its_steps(traced: tuple[Tracer, Told]):
    tracer, told = traced
    now = time.perf_counter_ns()
    with tracer.call(METHOD, ()) as tell:
        tracer.step("verify", now - 2000, now - 1000)
        tracer.step("commit", now - 1000, now, position=7)
        tell("TOO_LARGE")
    name = METHOD.strip("/")
    steps = [("verify", {}), ("commit", {"position": 7})]
    assert told() == [(name, "", "TOO_LARGE", steps)]


def test_a_call_stands_below_that_of_its_caller(traced: tuple[Tracer, Told]):
    tracer, told = traced
    with tracer.call(METHOD, PARENT) as tell:
        tell("ok")
    assert told()[0][1] == TRACE


@pytest.mark.parametrize("value", ["", "00-zz", "\u0000" * 100_000])
def test_what_is_no_trace_context_begins_a_new_trace(value: str):
    exporter = InMemorySpanExporter()
    tracer = OtelTracer(exporter, version="1")
    with tracer.call(METHOD, (("traceparent", value), ("traceparent-bin", b"\xff"))) as tell:
        tell("ok")
    assert finished(tracer, exporter)[0][1] == ""


def test_a_step_outside_of_a_call_is_nobodys(traced: tuple[Tracer, Told]):
    tracer, told = traced
    tracer.step("commit", 1, 2)
    assert told() == []


def test_what_a_call_fails_with_is_not_told():
    exporter = InMemorySpanExporter()
    tracer = OtelTracer(exporter, version="1")
    with pytest.raises(ValueError, match="the subject"), tracer.call(METHOD, ()):
        raise ValueError("the subject of a document")
    tracer.close()
    (span,) = exporter.get_finished_spans()
    assert not span.events
    assert "subject" not in span.to_json()


def test_of_calls_whose_caller_did_not_decide_only_a_share_is_traced():
    exporter = InMemorySpanExporter()
    tracer = OtelTracer(exporter, version="1", share=1e-9)
    for metadata in ((), (), PARENT):
        with tracer.call(METHOD, metadata) as tell:
            tracer.step("commit", 1, 2)
            tell("ok")
    assert [each[1] for each in finished(tracer, exporter)] == [TRACE]


class Stuck(SpanExporter):
    """A collector that takes a connection, and then nothing."""

    def __init__(self) -> None:
        self.free = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.free.wait()
        return SpanExportResult.SUCCESS


def test_nobody_waits_for_a_collector_that_takes_nothing_and_nothing_piles_up():
    stuck = Stuck()
    tracer = OtelTracer(stuck, version="1")
    for _ in range(2 * SPANS_MAX):
        with tracer.call(METHOD, ()) as tell:
            tell("ok")
    tracer.close()
    stuck.free.set()
