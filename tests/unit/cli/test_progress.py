"""Bars for a person at a terminal, nothing for anybody else."""

from __future__ import annotations

import io

from rich.console import Console

from hub.cli import progress
from hub.client.uploading import no_progress


def console_of(monkeypatch, *, terminal: bool) -> io.StringIO:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=100)
    monkeypatch.setattr(progress, "stderr", lambda: console)
    return out


def test_a_terminal_shows_each_file_as_it_is_called(monkeypatch):
    out = console_of(monkeypatch, terminal=True)
    with progress.progress_bars() as show:
        show("bản đồ [red].bin", 1_000_000, 4_000_000)
        show("second\x1b[2J.bin", 0, 5)
        show("bản đồ [red].bin", 4_000_000, 4_000_000)
    assert "bản đồ [red].bin" in out.getvalue()
    assert "4.0/4.0 MB" in out.getvalue()
    assert "\x1b[2J" not in out.getvalue()


def test_elsewhere_nothing_is_shown(monkeypatch):
    out = console_of(monkeypatch, terminal=False)
    with progress.progress_bars() as show:
        assert show is no_progress
        show("a", 1, 2)
    assert out.getvalue() == ""
