"""The soak measures what it says it does, in seconds instead of an hour."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from tests.bench.soak import main


@pytest.mark.early
def test_a_soak_of_seconds_keeps_every_receipt_and_says_how_it_went(tmp_path: Path):
    target, said = tmp_path / "out" / "soak.json", io.StringIO()
    options = ["--seconds", "1.2", "--warm", "0.1", "--rate", "20", "--interval", "0.4"]

    assert main([*options, "--json", str(target)], Console(file=said, width=200)) == 0

    run = json.loads(target.read_text(encoding="utf-8"))
    assert run["maximum_per_s"] > 0
    assert (run["rate_per_s"], run["fsck"], run["receipts_broken"]) == (20.0, [], 0)
    intervals = run["intervals"]
    assert sum(each["accepted"] for each in intervals) == sum(each["sent"] for each in intervals)
    assert run["receipts"] >= sum(each["accepted"] + each["collected"] for each in intervals)
    assert any(each["collected"] for each in intervals)
    for each in intervals:
        assert each["memory_mib"] > 10
        assert 0 <= each["p50_ms"] <= each["p99_ms"] <= each["slowest_ms"]
    assert "fsck" in said.getvalue()
    rows = target.with_suffix(".md").read_text(encoding="utf-8").splitlines()
    assert len(rows) == len(intervals) + 2
    assert {path.name for path in target.parent.iterdir()} == {"soak.json", "soak.md"}
