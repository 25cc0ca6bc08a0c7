"""What was measured: figures with their ranges and targets, as a table and as JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

HOLDS = {True: "yes", False: "NO", None: ""}

Measure = Callable[[], Awaitable[float]]
"""One round of one measurement; its figure."""


@dataclass(frozen=True)
class Figure:
    """One line of the table: a value for each round, and what docs/performance.md asks of it.

    `at_least` and `at_most` are the target, held against the median; neither means that there
    is none. `a_core` is the same for each second of processor time instead of the clock's, where
    one thread of this process does all the work: it hardly changes with what else runs here.
    """

    part: str
    name: str
    unit: str
    values: Sequence[float]
    at_least: float | None = None
    at_most: float | None = None
    a_core: Sequence[float] = ()

    @property
    def median(self) -> float:
        """The middle of all rounds: one slow round does not move it."""
        return median(self.values)

    @property
    def target(self) -> str:
        """The target in words; a dash without one."""
        if self.at_least is not None:
            return f"≥ {shown(self.at_least)}"
        return "–" if self.at_most is None else f"≤ {shown(self.at_most)}"

    @property
    def holds(self) -> bool | None:
        """Whether the median meets the target; None without one."""
        if self.at_least is not None:
            return self.median >= self.at_least
        return None if self.at_most is None else self.median <= self.at_most

    def as_json(self) -> dict[str, Any]:
        """All of it, for machines."""
        return {
            "part": self.part,
            "name": self.name,
            "unit": self.unit,
            "median": self.median,
            "lowest": min(self.values),
            "highest": max(self.values),
            "rounds": len(self.values),
            "values": list(self.values),
            "a_core": list(self.a_core),
            "at_least": self.at_least,
            "at_most": self.at_most,
            "holds": self.holds,
        }


async def interleaved(
    measures: Mapping[str, Measure], *, rounds: int, seconds: float
) -> dict[str, list[float]]:
    """Every measurement once a round, in turn, so that what slows the machine slows them all.

    No new round begins after `seconds`; the first one is always finished.
    """
    values: dict[str, list[float]] = {name: [] for name in measures}
    give_up = time.monotonic() + seconds
    for number in range(rounds):
        if number and time.monotonic() > give_up:
            break
        for name, measure in measures.items():
            values[name].append(await measure())
    return values


def ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """Round by round, one divided by the other: only what ran side by side is compared."""
    return [one / other for one, other in zip(over, under, strict=True)]


def shown(value: float) -> str:
    """A number with three digits that mean something."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def print_table(figures: Sequence[Figure], console: Console) -> None:
    """One line a figure; parts are kept apart by a rule."""
    table = Table("", "median", "unit", "lowest – highest", "rounds", "a core", "target", "holds")
    for number, figure in enumerate(figures):
        if number and figure.part != figures[number - 1].part:
            table.add_section()
        table.add_row(
            f"{figure.part}: {figure.name}",
            shown(figure.median),
            figure.unit,
            f"{shown(min(figure.values))} – {shown(max(figure.values))}",
            str(len(figure.values)),
            shown(median(figure.a_core)) if figure.a_core else "",
            figure.target,
            HOLDS[figure.holds],
        )
    console.print(table)


def markdown(figures: Sequence[Figure]) -> str:
    """The table as docs/performance.md has it."""
    lines = [
        "| Figure | Median | Lowest – highest | Rounds | A core | Target | Holds |",
        "|---|---|---|---|---|---|---|",
    ]
    for figure in figures:
        cells = (
            f"{figure.part}: {figure.name}",
            f"{shown(figure.median)} {figure.unit}",
            f"{shown(min(figure.values))} – {shown(max(figure.values))}",
            str(len(figure.values)),
            shown(median(figure.a_core)) if figure.a_core else "",
            figure.target,
            HOLDS[figure.holds],
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def report(figures: Sequence[Figure], machine: Mapping[str, Any], scale: Any) -> str:
    """The whole run as one JSON document."""
    document = {
        "media_type": "application/vnd.lienthong.benchmark.v1+json",
        "machine": dict(machine),
        "scale": asdict(scale),
        "figures": [figure.as_json() for figure in figures],
    }
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"
