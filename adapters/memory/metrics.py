"""Counts and distributions in memory; stricter than a real library about what they are told."""

from __future__ import annotations

import re
from collections.abc import Iterable

from hub.application.measuring import (
    LABEL_SETS_MAX,
    METRICS,
    OTHER,
    Kind,
    Metric,
    Reading,
    bounded,
)

_Series = tuple[Metric, tuple[str, ...]]

# Ids of documents and requests, digests, and what people write.
_NEVER = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-|[0-9a-f]{32}|\s.*\s|^$", re.IGNORECASE)
_LABEL_CHARS_MAX = 100


class MemoryMeter:
    """The port Meter. Raises ValueError for what is not in METRICS, or no label of a metric."""

    def __init__(self) -> None:
        self.counted: dict[_Series, float] = {}
        self.observed: dict[_Series, list[float]] = {}

    def count(self, metric: Metric, *labels: str, by: float = 1) -> None:
        """Add to a counter."""
        _require(metric, Kind.COUNTER, labels)
        if by < 0:
            raise ValueError("a counter only rises")
        series = self._series(metric, labels, self.counted)
        self.counted[series] = self.counted.get(series, 0) + by

    def observe(self, metric: Metric, value: float, *labels: str) -> None:
        """Put a value into a distribution."""
        _require(metric, Kind.HISTOGRAM, labels)
        self.observed.setdefault(self._series(metric, labels, self.observed), []).append(value)

    def page(self, readings: Iterable[Reading]) -> bytes:
        """All of it and these gauges, in the text format."""
        lines: dict[Metric, list[str]] = {}
        for (metric, labels), value in self.counted.items():
            lines.setdefault(metric, []).append(_line(metric, "", labels, value))
        for (metric, labels), values in self.observed.items():
            found = lines.setdefault(metric, [])
            for bound in (*metric.buckets, float("inf")):
                below = sum(each <= bound for each in values)
                found.append(_line(metric, "_bucket", labels, below, le=_number(bound)))
            found.append(_line(metric, "_count", labels, len(values)))
            found.append(_line(metric, "_sum", labels, sum(values)))
        for each in bounded(readings):
            _require(each.metric, Kind.GAUGE, each.labels)
            line = _line(each.metric, "", each.labels, each.value)
            lines.setdefault(each.metric, []).append(line)
        return "".join(
            f"# HELP {metric.name} {metric.help}\n# TYPE {metric.name} {metric.kind.value}\n"
            + "".join(found)
            for metric, found in lines.items()
        ).encode()

    def _series(self, metric: Metric, labels: tuple[str, ...], kept: Iterable[_Series]) -> _Series:
        known = {own for each, own in kept if each == metric}
        if labels not in known and len(known) >= LABEL_SETS_MAX:
            return metric, (OTHER,) * len(labels)
        return metric, labels


def _require(metric: Metric, kind: Kind, labels: tuple[str, ...]) -> None:
    if metric not in METRICS or metric.kind is not kind or len(labels) != len(metric.labels):
        raise ValueError(f"{metric.name} is no {kind.value} with these labels")
    for label in labels:
        if len(label) > _LABEL_CHARS_MAX or _NEVER.search(label):
            raise ValueError(f"{label!r} does not belong into a label")


def _line(metric: Metric, suffix: str, labels: tuple[str, ...], value: float, **more: str) -> str:
    pairs = [*zip(metric.labels, labels, strict=True), *more.items()]
    named = ",".join(f'{name}="{value}"' for name, value in pairs)
    return f"{metric.name}{suffix}{{{named}}} {_number(value)}\n"


def _number(value: float) -> str:
    return "+Inf" if value == float("inf") else repr(float(value))
