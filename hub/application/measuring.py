"""What a hub measures of itself: the whole list, and the port that keeps it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Kind(StrEnum):
    """How a metric behaves: it only rises, it goes up and down, or it is a distribution."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. `buckets` are the upper bounds of a distribution.

    What stands in a label is public and of few values: codes of agencies, reasons, names from the
    settings. Never the id of a document, of a request, or anything that somebody wrote.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """The value of a gauge, as of now."""

    metric: Metric
    value: float
    labels: tuple[str, ...] = ()


# Of one metric so many sets of labels are kept apart; what comes beyond is counted as OTHER.
LABEL_SETS_MAX = 2000
OTHER = "other"

# From a hundred microseconds to half a minute.
_SECONDS = (0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0)
_COMMANDS = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1024.0, 4096.0)

_COUNTER, _GAUGE, _HISTOGRAM = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM

# --- What happens, counted when it does ----------------------------------------------------------

CALLS = Metric(
    "lienthong_calls_total", _COUNTER,
    "Calls that were answered, by method and outcome: ok, or the reason of the refusal.",
    ("method", "outcome"),
)  # fmt: skip
CALL_SECONDS = Metric(
    "lienthong_call_seconds", _HISTOGRAM,
    "How long calls with one answer took, from the first byte read to the last one handed over.",
    ("method",), _SECONDS,
)  # fmt: skip
EVENTS = Metric(
    "lienthong_events_total", _COUNTER,
    "Events that were recorded and came under a signed checkpoint, by topic.", ("topic",),
)  # fmt: skip
BATCH_COMMANDS = Metric(
    "lienthong_batch_commands", _HISTOGRAM,
    "How many commands were decided, committed and signed together.", (), _COMMANDS,
)  # fmt: skip
BATCH_SECONDS = Metric(
    "lienthong_batch_seconds", _HISTOGRAM,
    "How long each step of a batch took: decide, commit, checkpoint.", ("step",), _SECONDS,
)  # fmt: skip
BATCH_FAILURES = Metric(
    "lienthong_batch_failures_total", _COUNTER,
    "Batches that ended in a failure of storage or signer, by the step that failed.", ("step",),
)  # fmt: skip
QUEUE_SECONDS = Metric(
    "lienthong_queue_seconds", _HISTOGRAM,
    "How long the command of a batch that came first had waited for its turn.", (), _SECONDS,
)  # fmt: skip
JOB_FAILURES = Metric(
    "lienthong_job_failures_total", _COUNTER,
    "Rounds of the hub's own jobs that failed, and will be repeated.", ("job",),
)  # fmt: skip

# --- How things stand, read when somebody asks ---------------------------------------------------

READY = Metric(
    "lienthong_ready", _GAUGE, "Whether the hub takes documents now: 1 or 0."
)  # fmt: skip
NOT_READY = Metric(
    "lienthong_not_ready", _GAUGE, "1 for each check of readiness that fails.", ("check",)
)
FROZEN = Metric(
    "lienthong_frozen", _GAUGE, "Whether the log is frozen, by a failed check or an operator."
)
LEADING = Metric("lienthong_leading", _GAUGE, "Whether this hub leads on its database: 1 or 0.")
EPOCH = Metric(
    "lienthong_leader_epoch", _GAUGE,
    "The epoch under which it leads on a PostgreSQL; 0 on SQLite, where nobody else can.",
)  # fmt: skip
LOG_EVENTS = Metric("lienthong_log_events", _GAUGE, "Events under the newest checkpoint.")
UNSIGNED_EVENTS = Metric(
    "lienthong_unsigned_events", _GAUGE, "Events that are recorded and under no checkpoint yet."
)
CHECKPOINT_AGE = Metric(
    "lienthong_checkpoint_age_seconds", _GAUGE,
    "How long ago the newest event under a checkpoint was recorded.",
)  # fmt: skip
QUEUE_COMMANDS = Metric(
    "lienthong_queue_commands", _GAUGE,
    "Commands that wait for their turn, by agency; the hub's own as `hub`.", ("agency",),
)  # fmt: skip
OPEN_STREAMS = Metric("lienthong_open_streams", _GAUGE, "Inboxes and outboxes that are watched.")
UNCOLLECTED = Metric(
    "lienthong_uncollected_documents", _GAUGE,
    "Documents that wait for their recipient to take delivery.", ("agency",),
)  # fmt: skip
UNCOLLECTED_AGE = Metric(
    "lienthong_uncollected_age_seconds", _GAUGE,
    "How long ago the oldest document was accepted that waits for this recipient.", ("agency",),
)  # fmt: skip
UNTIMESTAMPED = Metric(
    "lienthong_untimestamped_events", _GAUGE,
    "Events that no timestamp of this authority covers yet.", ("authority",),
)  # fmt: skip
UNTIMESTAMPED_AGE = Metric(
    "lienthong_untimestamped_age_seconds", _GAUGE,
    "How long ago the oldest event was recorded that no timestamp of this authority covers.",
    ("authority",),
)  # fmt: skip
WITNESS_BEHIND = Metric(
    "lienthong_witness_behind_events", _GAUGE,
    "Events of the log that this witness has not cosigned.", ("witness",),
)  # fmt: skip
WITNESS_ALARM = Metric(
    "lienthong_witness_alarm", _GAUGE,
    "Whether this witness refuses for good, or saw another history: 1 or 0.", ("witness",),
)  # fmt: skip
AXIS_PACKAGES = Metric(
    "lienthong_axis_packages", _GAUGE, "Packages to and from the national axis.",
    ("direction", "kind", "state"),
)  # fmt: skip
AXIS_UNSENT_AGE = Metric(
    "lienthong_axis_unsent_age_seconds", _GAUGE,
    "How long the oldest package has been waiting to be sent over the axis, parked ones included.",
)  # fmt: skip
AXIS_UNANSWERED_AGE = Metric(
    "lienthong_axis_unanswered_age_seconds", _GAUGE,
    "How long ago the oldest document was sent over the axis that a recipient has not answered.",
)  # fmt: skip
AXIS_UNREACHABLE = Metric(
    "lienthong_axis_unreachable_rounds", _GAUGE,
    "Rounds in a row in which nobody answered at the axis's address.",
)  # fmt: skip
AXIS_DIFFERENCES = Metric(
    "lienthong_axis_differences", _GAUGE,
    "Differences that the last reconciliation found.",
)  # fmt: skip
AXIS_COMPARED_AGE = Metric(
    "lienthong_axis_compared_age_seconds", _GAUGE,
    "How long ago the last reconciliation with the axis was made.",
)  # fmt: skip
CERTIFICATE_DAYS = Metric(
    "lienthong_certificate_days", _GAUGE,
    "Days until the last certificate ends that somebody has for a purpose.", ("holder", "purpose"),
)  # fmt: skip
KEY_DAYS = Metric(
    "lienthong_hub_key_days", _GAUGE,
    "Days until a step in the life of the hub's keys is due: announce, activate or retire.",
    ("key", "step"),
)  # fmt: skip
DISK_FREE = Metric(
    "lienthong_disk_free_bytes", _GAUGE, "Room left where the hub writes.", ("store",)
)
READINGS_AGE = Metric(
    "lienthong_readings_age_seconds", _GAUGE,
    "How old the oldest of these readings is: storage that does not answer shows here.",
)  # fmt: skip
BUILD = Metric("lienthong_build", _GAUGE, "1, with the version of the program.", ("version",))

METRICS: tuple[Metric, ...] = tuple(
    each for each in list(globals().values()) if isinstance(each, Metric)
)


class Meter(Protocol):
    """Keeps counts and distributions for as long as the process lives.

    Trusted for nothing: no decision of the hub rests on it. Its methods may be called from any
    thread, cost about a microsecond, wait for nobody and raise nothing for a metric of METRICS
    with as many labels as it has. Memory is bounded: see LABEL_SETS_MAX.
    """

    def count(self, metric: Metric, *labels: str, by: float = 1) -> None:
        """Add to a counter."""
        ...

    def observe(self, metric: Metric, value: float, *labels: str) -> None:
        """Put a value into a distribution."""
        ...

    def page(self, readings: Iterable[Reading]) -> bytes:
        """All of it and these gauges, in the text format of Prometheus 0.0.4, UTF-8."""
        ...


class NoMeter:
    """The port Meter where nobody asks: keeps nothing."""

    def count(self, metric: Metric, *labels: str, by: float = 1) -> None:
        """Nothing."""

    def observe(self, metric: Metric, value: float, *labels: str) -> None:
        """Nothing."""

    def page(self, readings: Iterable[Reading]) -> bytes:
        """An empty page."""
        return b""


def bounded(readings: Iterable[Reading]) -> Sequence[Reading]:
    """At most LABEL_SETS_MAX readings of each metric."""
    seen: dict[str, int] = {}
    kept = []
    for each in readings:
        seen[each.metric.name] = seen.get(each.metric.name, 0) + 1
        if seen[each.metric.name] <= LABEL_SETS_MAX:
            kept.append(each)
    return kept
