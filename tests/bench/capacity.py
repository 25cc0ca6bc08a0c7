"""Capacity on paper: the tables of docs/capacity.md, computed from the figures at its beginning.

    python -m tests.bench.capacity           # print the tables
    python -m tests.bench.capacity --write   # put them into the document

Replace figures in the document's `toml` block by your own and run it; a test holds the tables to
the figures.
"""

from __future__ import annotations

import argparse
import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs" / "capacity.md"
BEGIN, END = "<!-- computed: begin -->", "<!-- computed: end -->"
STATEMENTS_PER_DELIVERY = 4  # Collected, 01, 03, 06.
_DAY_S = 86_400
_TABLE_TB = 32.0  # PostgreSQL, "Limits": a table of 8 KiB pages.
_PLACES = ("city", "country")

Figures = Mapping[str, float]


@dataclass(frozen=True)
class Load:
    """What a place asks of its hubs, from what it is said to do."""

    said: Figures
    measured: Figures

    @property
    def events_per_document(self) -> float:
        """One for the submission, four for each recipient that answers."""
        return 1 + self.said["recipients"] * STATEMENTS_PER_DELIVERY

    @property
    def documents_in_all(self) -> float:
        """Over all the years."""
        return self.said["documents_per_day"] * self.said["days_per_year"] * self.said["years"]

    @property
    def events_in_all(self) -> float:
        """The length of the log at the end."""
        return self.documents_in_all * self.events_per_document

    @property
    def documents_per_s(self) -> float:
        """In the busiest hour."""
        return self.said["documents_per_day"] * self.said["peak_hour_share"] / 3600

    @property
    def statements_per_s(self) -> float:
        """Each is verified, decided and recorded."""
        return self.documents_per_s * self.events_per_document

    @property
    def database_bytes_per_document(self) -> float:
        """Its events, words, keys and tiles, and those of every recipient."""
        m, recipients = self.measured, self.said["recipients"]
        submission, delivery = m["submission_bytes"], m["document_bytes"] - m["submission_bytes"]
        return submission + (recipients - 1) * m["recipient_bytes"] + recipients * delivery

    @property
    def content_bytes_per_document(self) -> float:
        """Its attachments, sealed."""
        return self.said["attachments"] * self.said["attachment_mb"] * 1e6

    @property
    def database_tb(self) -> float:
        """At the end."""
        return self.documents_in_all * self.database_bytes_per_document / 1e12

    @property
    def largest_table_tb(self) -> float:
        """That of the events; their indexes lie elsewhere."""
        return self.events_in_all * self.measured["event_row_bytes"] / 1e12

    @property
    def content_tb(self) -> float:
        """At the end."""
        return self.documents_in_all * self.content_bytes_per_document / 1e12

    @property
    def batches_per_s(self) -> float:
        """One after the other: no more than their syncs leave time for."""
        return min(self.statements_per_s, 1 / self.batch_s)

    @property
    def batch_s(self) -> float:
        """The syncs of a batch, one after the other."""
        return self.measured["syncs_per_batch"] / self.measured["syncs_per_s"]

    @property
    def syncs_per_s(self) -> float:
        """Of databases and signer; of a folder of content beside them."""
        return self.batches_per_s * self.measured["syncs_per_batch"]

    @property
    def content_syncs_per_s(self) -> float:
        """In a folder; in a bucket they are calls."""
        attachments = self.documents_per_s * self.said["attachments"]
        return attachments * self.measured["syncs_per_attachment"]

    @property
    def in_a_batch(self) -> float:
        """How many statements share one commit and one signature."""
        return max(1.0, self.statements_per_s / self.batches_per_s)

    @property
    def processes(self) -> int:
        """At half of what one was measured to do."""
        usable = self.measured["statements_per_s_a_process"] / 2
        return max(1, math.ceil(self.statements_per_s / usable))

    @property
    def written_mb_per_s(self) -> float:
        """Into the database, in the busiest hour; its log writes as much again."""
        return self.documents_per_s * self.database_bytes_per_document / 1e6

    def days_for(self, rate: str) -> float:
        """To go through the whole log at the end, by one process."""
        return self.events_in_all / self.measured[rate] / _DAY_S


def tables(text: str) -> str:
    """The tables, from the figures in the document."""
    figures = tomllib.loads(text.split("```toml\n", 1)[1].split("```", 1)[0])
    loads = [Load(figures[place], figures["measured"]) for place in _PLACES]
    rows: list[tuple[str, Callable[[Load], str]]] = [
        ("documents in the busiest second", lambda load: _number(load.documents_per_s)),
        ("statements in the busiest second", lambda load: _number(load.statements_per_s)),
        ("events in all", lambda load: _number(load.events_in_all)),
        (
            "database for a document",
            lambda load: _kb(load.database_bytes_per_document),
        ),
        ("**database in all**", lambda load: _tb(load.database_tb)),
        ("its largest table", lambda load: _tb(load.largest_table_tb)),
        ("years until that table is full", _years),
        ("**content in all**", lambda load: _tb(load.content_tb)),
        ("database and content, with the copies", _with_copies),
        ("written into the database", lambda load: f"{load.written_mb_per_s:.2g} MB/s"),
        ("batches a second, at the most", lambda load: _number(load.batches_per_s)),
        ("statements in a batch", lambda load: _number(load.in_a_batch)),
        ("**syncs a second**, databases and signer", lambda load: _number(load.syncs_per_s)),
        ("the same for a folder of content", lambda load: _number(load.content_syncs_per_s)),
        ("**hub processes** that take calls", lambda load: str(load.processes)),
        ("replay of everything", lambda load: _days(load.days_for("replay_per_s"))),
        ("all lists made anew", lambda load: _days(load.days_for("rebuild_per_s"))),
        ("`fsck` with every signature", lambda load: _days(load.days_for("fsck_per_s"))),
    ]
    lines = ["| | City | Country |", "|---|---|---|"]
    lines += [f"| {name} | {' | '.join(say(load) for load in loads)} |" for name, say in rows]
    return "\n".join(lines)


def rewritten(text: str) -> str:
    """The document with its tables as the figures have them."""
    before, rest = text.split(BEGIN, 1)
    return f"{before}{BEGIN}\n\n{tables(text)}\n\n{END}{rest.split(END, 1)[1]}"


def _years(load: Load) -> str:
    if load.largest_table_tb < _TABLE_TB:
        return "not in that time"
    return f"{load.said['years'] * _TABLE_TB / load.largest_table_tb:.1f}"


def _with_copies(load: Load) -> str:
    return _tb((load.database_tb + load.content_tb) * load.said["copies"])


def _tb(value: float) -> str:
    return f"{value * 1000:.0f} GB" if value < 1 else f"{value:,.0f} TB"


def _kb(value: float) -> str:
    return f"{value / 1e3:.1f} kB"


def _days(value: float) -> str:
    return f"{value * 24:.1f} h" if value < 2 else f"{value:,.0f} days"


def _number(value: float) -> str:
    if value >= 1e9:
        return f"{value / 1e9:.1f} billion"
    if value >= 1e6:
        return f"{value / 1e6:.0f} million"
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def main() -> None:
    """Print, or write."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.capacity", description=__doc__)
    parser.add_argument("--write", action="store_true")
    text = DOCUMENT.read_text(encoding="utf-8")
    if parser.parse_args().write:
        DOCUMENT.write_text(rewritten(text), encoding="utf-8")
    else:
        print(tables(text))


if __name__ == "__main__":
    main()
