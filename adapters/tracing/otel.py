"""Spans by OpenTelemetry, handed on by OTLP over gRPC; imported only where it is configured."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

# What is held for a collector that is slow or away; beyond it new spans are dropped.
SPANS_MAX = 2048
_BATCH_MAX = 512
_EVERY_MS = 1000
_EXPORT_WITHIN_S = 5
_CLOSE_WITHIN_S = 2.0
_CONTEXT_KEYS = {"traceparent", "tracestate"}

# From `time.perf_counter_ns` to the time of day.
_wall: ContextVar[int] = ContextVar("wall")


class OtelTracer:
    """The port Tracer. A thread of its own hands the spans on."""

    def __init__(self, exporter: SpanExporter, *, version: str, share: float = 1.0) -> None:
        """`share` of the calls are traced, of those whose caller did not decide it."""
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(share)),
            resource=Resource({"service.name": "lienthong", "service.version": version}),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(
                exporter,
                max_queue_size=SPANS_MAX,
                max_export_batch_size=_BATCH_MAX,
                schedule_delay_millis=_EVERY_MS,
            )
        )
        self._tracer = self._provider.get_tracer("lienthong", version)
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def call(
        self, method: str, metadata: Iterable[tuple[str, str | bytes]]
    ) -> Iterator[Callable[[str], None]]:
        """The span of a call."""
        carrier = {
            key: value for key, value in metadata if key in _CONTEXT_KEYS and isinstance(value, str)
        }
        now, wall = time.time_ns(), time.time_ns() - time.perf_counter_ns()
        # Within one call all instants are reckoned alike.
        _wall.set(wall)
        service, _, name = method.strip("/").partition("/")
        with self._tracer.start_as_current_span(
            f"{service}/{name}",
            context=self._propagator.extract(carrier),
            kind=SpanKind.SERVER,
            start_time=now,
            attributes={"rpc.system": "grpc", "rpc.service": service, "rpc.method": name},
            # What an error says may be about a document.
            record_exception=False,
            set_status_on_exception=False,
        ) as span:

            def tell(outcome: str) -> None:
                span.set_attribute("lienthong.outcome", outcome)
                if outcome == "INTERNAL":
                    span.set_status(StatusCode.ERROR)

            yield tell

    def step(self, name: str, start: int, end: int, **about: int) -> None:
        """A step of the call being served, over already; nothing where none is."""
        if not trace.get_current_span().is_recording():
            return
        wall = _wall.get()
        attributes = {f"lienthong.{key}": value for key, value in about.items()}
        span = self._tracer.start_span(name, start_time=wall + start, attributes=attributes)
        span.end(end_time=wall + end)

    def close(self) -> None:
        """Hand on what is there, for two seconds at the most."""
        # The library waits for as long as the collector does not answer.
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(_CLOSE_WITHIN_S)


def exporter_to(endpoint: str) -> SpanExporter:
    """What hands spans to the collector at an address, `http://…` or `https://…`."""
    insecure = endpoint.startswith("http://")
    return OTLPSpanExporter(endpoint=endpoint, insecure=insecure, timeout=_EXPORT_WITHIN_S)
