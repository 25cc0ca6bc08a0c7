"""How far large files are, shown to a person while they are on their way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from hub.cli.console import shown, stderr
from hub.client.uploading import Progress as Told
from hub.client.uploading import no_progress


@contextmanager
def progress_bars() -> Iterator[Told]:
    """One bar for each file, at a terminal only, gone when the work is done."""
    console = stderr()
    if not console.is_terminal:
        yield no_progress
        return
    columns = (
        # Foreign names: what looks like markup in them is shown, not obeyed.
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def show(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(shown(name), total=total)
            bars.update(tasks[name], completed=done)

        yield show
