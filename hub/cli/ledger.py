"""`lienthong ledger`: a hub's log checked and exported on its own machine, and exports checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from hub.cli.checkpoints import CaOption, LogPlace, TrustOption
from hub.cli.console import say, say_fields, say_json, shown, stderr
from hub.cli.messages import _
from hub.cli.secret import ask_secret
from hub.cli.sentences import in_words
from hub.cli.session import AnyProfileOption, JsonOption
from hub.proof.strict import encode_base64
from hub.proof.tiles import check_log, open_log

HubArgument = Annotated[
    Path, typer.Argument(metavar="DIR", help="The hub's folder; the hub may be running.")
]


def fsck(folder: HubArgument, json_: JsonOption = False) -> None:
    """Recompute everything from the first event and name whatever differs. Changes nothing.

    Exit status: 0 everything agrees, 1 something differs.
    """
    from hub.bootstrap.check import check_hub
    from hub.bootstrap.custody import custodian_of
    from hub.bootstrap.folder import DataFolder
    from hub.bootstrap.reading import open_stores
    from hub.config import Settings

    data, settings = DataFolder(folder), Settings.load(folder)
    custodian = custodian_of(data, settings, ask_secret)
    with open_stores(data, settings, custodian) as stores, events_bar() as bar:
        findings = said(check_hub(stores, progress=bar), json_)
    if findings and not json_:
        say(_("Findings: {count}. Do not serve this hub.", count=len(findings)), style="bold red")
    _end(bar, findings, json_)


def export(
    folder: HubArgument,
    target: Annotated[
        Path, typer.Argument(metavar="TARGET", help="A new folder, or one of an earlier export.")
    ],
    json_: JsonOption = False,
) -> None:
    """Write the log as static files that third-party tools read as they are (C2SP tlog-tiles).

    Every event is checked against the signed tree as it goes. Broken off, it goes on when it
    is repeated. The files hold every event: they are for auditors.
    """
    from hub.bootstrap.export import export_hub
    from hub.bootstrap.folder import DataFolder

    with events_bar(_("Exporting events")) as bar:
        exported = export_hub(DataFolder(folder), target, progress=bar)
    head = exported.checkpoint
    if json_:
        root = encode_base64(head.root)
        members = {"origin": head.origin, "size": head.size, "root": root}
        say_json({**members, "written": exported.written, "found": exported.found})
        return
    say(_("Exported, and every event agrees with the signed tree."), style="bold green")
    say_fields(
        [
            (_("Log"), shown(head.origin)),
            (_("Entries"), str(head.size)),
            (_("Files written"), str(exported.written)),
            (_("Files there already"), str(exported.found)),
        ]
    )


def verify_export(
    log: Annotated[
        str,
        typer.Argument(
            metavar="LOG", help="An export of a log, or the address a log is served at."
        ),
    ],
    profile: AnyProfileOption = None,
    trust: TrustOption = None,
    ca: CaOption = None,
    json_: JsonOption = False,
) -> None:
    """Check every file of an exported log against its signed checkpoint, without the hub.

    Exit status: 0 everything agrees, 1 something differs or is missing.
    """
    place = LogPlace.of(log, profile, trust, ca)
    with place.reading() as read, events_bar() as bar:
        opened = open_log(read, place.trust)
        findings = said(check_log(opened, progress=bar), json_)
    if findings and not json_:
        words = _("Findings: {count}. Do not rely on these files.", count=len(findings))
        say(words, style="bold red")
    _end(bar, findings, json_)


def said(findings: Iterable[Any], as_json: bool) -> list[dict[str, Any]]:
    """The findings, each of them said as it comes unless they are to be one JSON answer."""
    found: list[dict[str, Any]] = []
    for finding in findings:
        found.append(asdict(finding))
        if not as_json:
            say(_sentence(finding.what), style="red")
    return found


def _end(bar: _Bar, findings: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        say_json({"events": bar.total, "findings": findings})
    elif not findings:
        say(_("Everything agrees: {count} events.", count=bar.total), style="bold green")
    raise typer.Exit(1 if findings else 0)


def trust(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The hub's folder.")],
    json_: JsonOption = False,
) -> None:
    """Write the next edition of the trusted root, with what the settings list since.

    Nothing is ever taken out of it. Publish it by a way that the hub cannot change.
    """
    from hub.bootstrap.folder import DataFolder
    from hub.bootstrap.trust import publish
    from hub.config import Settings

    path, root = publish(DataFolder(folder), Settings.load(folder))
    authorities = [authority.name for authority in root.timestamp_authorities]
    if json_:
        say_json({"file": str(path), "version": root.version, "timestamp_authorities": authorities})
    else:
        say(_("Edition {version} is in {file}.", version=root.version, file=path))
        say_fields([(_("Time-stamping authorities"), ", ".join(authorities) or "–")])


class _Bar:
    """Shows how far a long work is; knows how many events there are, once it was told."""

    def __init__(self, show: Callable[[int, int], None]) -> None:
        self.total = 0
        self._show = show

    def __call__(self, done: int, total: int) -> None:
        self.total = total
        self._show(done, total)


@contextmanager
def events_bar(words: str = "") -> Iterator[_Bar]:
    """Show on stderr how many events of all are done, where that is a terminal."""
    console = stderr()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task(words or _("Checking events"), total=None)
        yield _Bar(lambda done, total: progress.update(task, completed=done, total=total))


def _sentence(what: str) -> str:
    words = shown(in_words(what))
    return f"{words[:1].upper()}{words[1:]}."
