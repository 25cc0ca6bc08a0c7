"""Every adapter of the port Meter counts, and says it in a form that Prometheus reads."""

from __future__ import annotations

import threading

import pytest
from prometheus_client.parser import text_string_to_metric_families

from adapters.memory.metrics import MemoryMeter
from adapters.metrics.prometheus import PrometheusMeter
from hub.application.measuring import (
    BATCH_COMMANDS,
    CALLS,
    FROZEN,
    LABEL_SETS_MAX,
    METRICS,
    OTHER,
    QUEUE_COMMANDS,
    Kind,
    Meter,
    NoMeter,
    Reading,
)

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture(params=[MemoryMeter, PrometheusMeter])
def meter(request: pytest.FixtureRequest) -> Meter:
    made: Meter = request.param()
    return made


def samples(page: bytes) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
    }


def calls(meter: Meter, method: str, outcome: str) -> float | None:
    labels = frozenset({("method", method), ("outcome", outcome)})
    return samples(meter.page([])).get((CALLS.name, labels))


def test_a_counter_counts_each_set_of_labels_by_itself(meter: Meter):
    meter.count(CALLS, "Submit", "ok")
    meter.count(CALLS, "Submit", "ok", by=4)
    meter.count(CALLS, "Submit", "TOO_LARGE")

    assert calls(meter, "Submit", "ok") == 5
    assert calls(meter, "Submit", "TOO_LARGE") == 1
    assert calls(meter, "Submit", "OVERLOADED") is None


def test_a_distribution_says_how_many_were_at_most_each_bound(meter: Meter):
    for value in (1, 2, 3, 5000):
        meter.observe(BATCH_COMMANDS, value)

    found = samples(meter.page([]))
    name = BATCH_COMMANDS.name
    assert found[f"{name}_bucket", frozenset({("le", "2.0")})] == 2
    assert found[f"{name}_bucket", frozenset({("le", "4096.0")})] == 3
    assert found[f"{name}_bucket", frozenset({("le", "+Inf")})] == 4
    assert found[f"{name}_count", frozenset()] == 4
    assert found[f"{name}_sum", frozenset()] == 5006


def test_a_gauge_is_what_was_read_just_now(meter: Meter):
    page = meter.page([Reading(FROZEN, 1), Reading(QUEUE_COMMANDS, 7, ("H29.1",))])

    found = samples(page)
    assert found[FROZEN.name, frozenset()] == 1
    assert found[QUEUE_COMMANDS.name, frozenset({("agency", "H29.1")})] == 7
    assert (FROZEN.name, frozenset()) not in samples(meter.page([]))


def test_the_page_says_of_each_metric_what_it_is(meter: Meter):
    meter.count(CALLS, "Submit", "ok")
    meter.observe(BATCH_COMMANDS, 1)

    families = {each.name: each for each in text_string_to_metric_families(
        meter.page([Reading(FROZEN, 0)]).decode())}  # fmt: skip
    assert families["lienthong_calls"].type == "counter"
    assert families[BATCH_COMMANDS.name].type == "histogram"
    assert families[FROZEN.name].documentation == FROZEN.help


def test_labels_that_never_end_do_not_fill_the_memory(meter: Meter):
    for number in range(LABEL_SETS_MAX + 5):
        meter.count(CALLS, "Submit", f"R{number}")
    many = [Reading(QUEUE_COMMANDS, 1, (f"A{number}",)) for number in range(LABEL_SETS_MAX + 5)]

    assert calls(meter, OTHER, OTHER) == 5
    found = samples(meter.page(many))
    assert sum(name == QUEUE_COMMANDS.name for name, _ in found) == LABEL_SETS_MAX


def test_threads_lose_no_count():
    meter = PrometheusMeter()

    def count() -> None:
        for _ in range(200):
            meter.count(CALLS, "Submit", "ok")

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls(meter, "Submit", "ok") == 800


@pytest.mark.parametrize(
    "label", ["018f2a4c-1111-7abc-8def-000000000000", "ab" * 32, "V/v liên thông văn bản", ""]
)
def test_in_memory_no_id_and_nothing_that_somebody_wrote_becomes_a_label(label: str):
    with pytest.raises(ValueError, match="does not belong"):
        MemoryMeter().count(CALLS, "Submit", label)


def test_every_metric_is_named_for_its_kind_and_unit():
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    for metric in METRICS:
        assert metric.name.startswith("lienthong_")
        assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER), metric.name
        assert bool(metric.buckets) == (metric.kind is Kind.HISTOGRAM), metric.name
        assert metric.help.endswith("."), metric.name


def test_where_nobody_asks_nothing_is_kept():
    meter = NoMeter()
    meter.count(CALLS, "Submit", "ok")
    meter.observe(BATCH_COMMANDS, 1)
    assert meter.page([Reading(FROZEN, 1)]) == b""
