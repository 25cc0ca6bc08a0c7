"""The benchmark measures what it says it does. What it finds out is nobody's test."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from tests.bench.__main__ import PARTS, main


# Seven processes start and stop: a second each where nothing else runs.
@pytest.mark.early
def test_a_tiny_run_measures_every_part_and_says_on_what(tmp_path: Path):
    target, table = tmp_path / "out" / "bench.json", io.StringIO()
    main(["--smoke", "--json", str(target)], Console(file=table, width=200))
    run = json.loads(target.read_text(encoding="utf-8"))
    assert {figure["part"] for figure in run["figures"]} == PARTS.keys()
    for figure in run["figures"]:
        assert figure["rounds"] == len(figure["values"]) >= 1
        assert figure["lowest"] <= figure["median"] <= figure["highest"]
        has_target = figure["at_least"] is not None or figure["at_most"] is not None
        assert isinstance(figure["holds"], bool) == has_target
        assert figure["name"] in table.getvalue()
    assert {"processor", "cores", "load", "python", "sqlite", "grpcio"} <= run["machine"].keys()
    assert run["scale"]["sizes"] == [60, 120]
    rows = target.with_suffix(".md").read_text(encoding="utf-8").splitlines()
    assert len(rows) == len(run["figures"]) + 2
    left = {path.name for path in target.parent.iterdir()}
    assert left == {"bench.json", "bench.md"}, "it cleans up after itself"
