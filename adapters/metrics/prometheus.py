"""Counts and distributions of a hub, kept by Prometheus's own library."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from threading import Lock
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client import disable_created_metrics as without_times_of_creation
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.core import Metric as _Family
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from hub.application.measuring import (
    LABEL_SETS_MAX,
    METRICS,
    OTHER,
    Kind,
    Metric,
    Reading,
    bounded,
)

_C = TypeVar("_C", Counter, Histogram)


class PrometheusMeter:
    """The port Meter. What the process itself uses (memory, time, files) comes with it."""

    def __init__(self) -> None:
        without_times_of_creation()  # type: ignore[no-untyped-call]  # One more line for each of several hundred.
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._counters = {
            metric: Counter(metric.name, metric.help, metric.labels, registry=self._registry)
            for metric in METRICS
            if metric.kind is Kind.COUNTER
        }
        self._histograms = {
            metric: Histogram(
                metric.name,
                metric.help,
                metric.labels,
                buckets=metric.buckets,
                registry=self._registry,
            )
            for metric in METRICS
            if metric.kind is Kind.HISTOGRAM
        }
        # Finding a child by its labels takes the library longer than counting does.
        self._counting: dict[tuple[Metric, tuple[str, ...]], Counter] = {}
        self._observing: dict[tuple[Metric, tuple[str, ...]], Histogram] = {}
        self._known: dict[Metric, set[tuple[str, ...]]] = {}
        self._lock = Lock()

    def count(self, metric: Metric, *labels: str, by: float = 1) -> None:
        """Add to a counter."""
        child = self._counting.get((metric, labels))
        if child is None:
            child, labels = self._child(self._counters[metric], metric, labels)
            self._counting[metric, labels] = child
        child.inc(by)

    def observe(self, metric: Metric, value: float, *labels: str) -> None:
        """Put a value into a distribution."""
        child = self._observing.get((metric, labels))
        if child is None:
            child, labels = self._child(self._histograms[metric], metric, labels)
            self._observing[metric, labels] = child
        child.observe(value)

    def page(self, readings: Iterable[Reading]) -> bytes:
        """All of it and these gauges, in the text format."""
        return generate_latest(_Page(self._registry, list(bounded(readings))))

    def _child(
        self, parent: _C, metric: Metric, labels: tuple[str, ...]
    ) -> tuple[_C, tuple[str, ...]]:
        """What counts these labels, and under which ones: OTHER once there are too many."""
        if not metric.labels:
            return parent, labels
        with self._lock:
            known = self._known.setdefault(metric, set())
            if labels not in known and len(known) >= LABEL_SETS_MAX:
                labels = (OTHER,) * len(labels)
            known.add(labels)
            return parent.labels(*labels), labels


class _Page(Collector):
    def __init__(self, registry: CollectorRegistry, readings: Sequence[Reading]) -> None:
        self._registry = registry
        self._readings = readings

    def collect(self) -> Iterator[_Family]:
        yield from self._registry.collect()
        families: dict[str, GaugeMetricFamily] = {}
        for each in self._readings:
            metric = each.metric
            family = families.get(metric.name)
            if family is None:
                family = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
                families[metric.name] = family
            family.add_metric(each.labels, each.value)
        yield from families.values()
