"""The tables of docs/capacity.md are what its figures make of them."""

from __future__ import annotations

import pytest

from tests.bench.capacity import DOCUMENT, Load, rewritten, tables

SAID = {
    "documents_per_day": 14_400,
    "recipients": 2,
    "attachments": 2,
    "attachment_mb": 1.5,
    "days_per_year": 100,
    "years": 2,
    "peak_hour_share": 0.25,
    "copies": 2,
}
MEASURED = {
    "document_bytes": 10_000,
    "submission_bytes": 4_000,
    "recipient_bytes": 500,
    "event_row_bytes": 1_000,
    "statements_per_s_a_process": 6,
    "syncs_per_batch": 4,
    "syncs_per_s": 20,
    "syncs_per_attachment": 8,
    "replay_per_s": 300,
    "rebuild_per_s": 30,
    "fsck_per_s": 3,
}


def test_the_document_says_what_its_figures_say():
    text = DOCUMENT.read_text(encoding="utf-8")

    assert text == rewritten(text), "run `python -m tests.bench.capacity --write`"


def test_another_figure_makes_another_table():
    text = DOCUMENT.read_text(encoding="utf-8")
    changed = text.replace("documents_per_day = 20_000", "documents_per_day = 40_000")

    assert changed != text
    assert tables(changed) != tables(text)


def test_the_formulas_do_what_they_say():
    load = Load(SAID, MEASURED)

    assert load.events_per_document == 9
    assert load.documents_in_all == 2_880_000
    assert load.documents_per_s == 1
    assert load.statements_per_s == 9
    assert load.database_bytes_per_document == 4_000 + 500 + 2 * 6_000
    assert load.database_tb == pytest.approx(2.88e6 * 16_500 / 1e12)
    assert load.largest_table_tb == pytest.approx(2.88e6 * 9 * 1_000 / 1e12)
    assert load.content_tb == pytest.approx(2.88e6 * 3e6 / 1e12)
    # Twenty syncs a second leave time for five batches.
    assert load.batches_per_s == 5
    assert load.in_a_batch == pytest.approx(9 / 5)
    assert load.syncs_per_s == 20
    assert load.content_syncs_per_s == 16
    assert load.processes == 3
    assert load.days_for("replay_per_s") == pytest.approx(2.88e6 * 9 / 300 / 86_400)
