"""What the auditor's commands share: who asks, which stretch of history, how far it is."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from hub.auditor.client import AuditClient
from hub.cli.console import stderr
from hub.cli.messages import _
from hub.cli.session import load_profile
from hub.client.drafting import VIETNAM

TIMES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]
_CASE = re.compile(r"[^\W_][\w./:-]{0,63}")


def case_reference(case: str | None) -> str | None:
    """Refuse here already what is no reference of a case; a callback."""
    if case is not None and not _CASE.fullmatch(case):
        raise typer.BadParameter(
            _("a case is named by at most 64 letters, digits and . _ / : - without spaces")
        )
    return case


CaseOption = Annotated[
    str | None,
    typer.Option(
        "--case",
        metavar="REF",
        callback=case_reference,
        help="The case to read for: show subject and reasons. The hub records who read them.",
    ),
]
CompleteOption = Annotated[
    bool,
    typer.Option(
        "--complete",
        help="Fetch the whole log and look here: it proves that nothing was left out.",
    ),
]


@asynccontextmanager
async def auditor(profile: Path) -> AsyncIterator[AuditClient]:
    """An auditor's client."""
    async with AuditClient.open(load_profile(profile, of_agency=False)) as client:
        yield client


def instant(at: datetime | None) -> datetime | None:
    """A time that was typed, in Vietnam's time."""
    return None if at is None else at.replace(tzinfo=VIETNAM)


def just_after(at: datetime | None) -> datetime | None:
    """The first instant that does not count any more: events are told to the microsecond."""
    known = instant(at)
    return None if known is None else known + timedelta(microseconds=1)


@contextmanager
def replay_bar() -> Iterator[Callable[[int, int, int], None]]:
    """Show on stderr how far a replay is, where that is a terminal."""
    console = stderr()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(_("Replaying events"), total=None)
        yield lambda first, reached, end: bar.update(
            task, completed=reached - first, total=end - first
        )
