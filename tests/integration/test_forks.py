"""A process that the tests fork is what Python would have started, only sooner."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.forks import ROOT, Forked, run_forked
from tests.support.patience import PATIENCE_S

PROGRAM = "hub.cli.main"
VIETNAMESE = {**os.environ, "LIENTHONG_LANG": "vi", "COLUMNS": "90"}


@pytest.mark.parametrize(
    "arguments",
    [
        ("--version",),
        ("ledger", "--help"),
        ("ledger", "fsck"),
        ("no-such-command",),
        ("verify", "--trust", "không/có/gì", "không-có.receipt.json"),
    ],
    ids=" ".join,
)
def test_it_says_and_ends_as_a_command_does(arguments: tuple[str, ...]):
    told = subprocess.run(
        [sys.executable, "-m", PROGRAM, *arguments],
        env=VIETNAMESE, cwd=ROOT, capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip

    forked = run_forked(PROGRAM, *arguments, env=VIETNAMESE, timeout=PATIENCE_S)

    assert (forked.returncode, forked.stdout, forked.stderr) == (
        told.returncode,
        told.stdout,
        told.stderr,
    )
    assert told.stdout + told.stderr


def test_it_is_killed_and_interrupted_like_any_other(tmp_path: Path):
    for number in (signal.SIGKILL, signal.SIGTERM):
        process = Forked("http.server", "0", "--bind", "127.0.0.1", "--directory", tmp_path)
        assert process.stdout is not None
        assert process.poll() is None
        os.kill(process.pid, number)
        assert process.wait(timeout=PATIENCE_S) == -number
        process.communicate()

    asked = run_forked("http.server", "--no-such-option", timeout=PATIENCE_S)
    assert (asked.returncode, asked.stdout) == (2, "")
    assert "unrecognized arguments" in asked.stderr


def test_what_is_not_caught_is_a_traceback_and_status_1(tmp_path: Path):
    ended = run_forked("tests.support.serve", tmp_path, tmp_path / "port", timeout=PATIENCE_S)
    assert ended.returncode == 1
    assert ended.stderr.startswith("Traceback ")


def test_it_writes_where_it_is_told(tmp_path: Path):
    with (tmp_path / "log").open("wb") as log:
        process = Forked(PROGRAM, "no-such-command", stdout=log, stderr=subprocess.STDOUT)
        assert process.communicate(timeout=PATIENCE_S) == ("", "")
    assert process.returncode == 2
    assert "no-such-command" in (tmp_path / "log").read_text()
