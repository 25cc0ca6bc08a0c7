"""`lienthong ledger`: what can be done with a hub's log on the hub's own machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from hub.cli.console import say, say_json, shown, stderr
from hub.cli.messages import _
from hub.cli.sentences import in_words
from hub.cli.session import JsonOption


def fsck(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The hub's folder; the hub must be stopped.")
    ],
    json_: JsonOption = False,
) -> None:
    """Recompute everything from the first event and name whatever differs. Changes nothing.

    Exit status: 0 everything agrees, 1 something differs.
    """
    from hub.bootstrap.assembly import open_core
    from hub.bootstrap.check import check_hub
    from hub.bootstrap.folder import DataFolder
    from hub.config import Settings

    counter = _Counter()
    findings: list[dict[str, Any]] = []
    with open_core(DataFolder(folder), Settings.load(folder)) as core, _bar(counter) as advance:
        for finding in check_hub(core, progress=advance):
            findings.append(asdict(finding))
            if not json_:
                say(_sentence(finding.what), style="red")
    if json_:
        say_json({"events": counter.total, "findings": findings})
    elif findings:
        say(
            _("Findings: {count}. Do not serve this hub.", count=len(findings)),
            style="bold red",
        )
    else:
        say(_("Everything agrees: {count} events.", count=counter.total), style="bold green")
    raise typer.Exit(1 if findings else 0)


class _Counter:
    """How many events there are, as far as the check has said."""

    total = 0


@contextmanager
def _bar(counter: _Counter) -> Iterator[Callable[[int, int], None]]:
    console = stderr()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(_("Checking events"), total=None)

        def advance(done: int, total: int) -> None:
            counter.total = total
            bar.update(task, completed=done, total=total)

        yield advance


def _sentence(what: str) -> str:
    words = shown(in_words(what))
    return f"{words[:1].upper()}{words[1:]}."
