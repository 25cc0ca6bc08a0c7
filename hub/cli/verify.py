"""`lienthong verify`: what `python -m hub.proof` finds, said in the reader's language."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated, Any

import typer

from hub.cli.console import say
from hub.cli.messages import N_, _
from hub.cli.sentences import in_words
from hub.cli.session import JsonOption
from hub.proof import __main__ as auditors_tool
from hub.proof.evidence import Verdict

_VERDICTS = {
    Verdict.PROVEN: (N_("PROVEN"), "green"),
    Verdict.STATED: (N_("STATED"), "cyan"),
    Verdict.NOT_CHECKED: (N_("NOT CHECKED"), "yellow"),
    Verdict.REFUTED: (N_("REFUTED"), "bold red"),
}
_OUTCOMES = {
    Verdict.PROVEN: N_("Everything is proven."),
    Verdict.NOT_CHECKED: N_("Nothing is refuted; some steps were not checked."),
    Verdict.REFUTED: N_("Something is refuted or cannot be read."),
}


def verify(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE_OR_FOLDER",
            help="Receipt files, or folders: every *.receipt.json below them.",
        ),
    ],
    trust: Annotated[
        Path,
        typer.Option(
            metavar="ROOT",
            exists=True,
            dir_okay=False,
            help="The trusted root: the only thing believed; get it by a way you trust.",
        ),
    ],
    json_: JsonOption = False,
) -> None:
    """Find out what receipts prove, without a hub and without a network.

    Exit status: 0 all proven, 1 something refuted or unreadable, or a wrong command line,
    2 nothing refuted but something not checked.
    """
    arguments = ["--trust", str(trust), "--json", "--", *map(str, files)]
    if json_:
        raise typer.Exit(auditors_tool.main(arguments))
    # The tool that stands alone examines here too, so the two can never disagree.
    with redirect_stdout(io.StringIO()) as report:
        status = auditors_tool.main(arguments)
    if report.getvalue():
        _show(json.loads(report.getvalue()))
    raise typer.Exit(status)


def verdict_in_words(verdict: str) -> str:
    """A verdict of the auditor's tool for a person."""
    return _(_VERDICTS[Verdict(verdict)][0])


def _show(report: dict[str, Any]) -> None:
    width = max(len(_(word)) for word, _style in _VERDICTS.values())
    for file in report["files"]:
        say(file["file"], style="bold")
        for finding in file["findings"]:
            word, style = _VERDICTS[Verdict(finding["verdict"])]
            verdict = _(word).ljust(width)
            say(f"  {finding['step']}. {verdict}  {in_words(finding['text'])}", style=style)
    verdict = Verdict(report["verdict"])
    say(_(_OUTCOMES[verdict]), style=_VERDICTS[verdict][1])
